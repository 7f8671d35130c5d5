"""MurmurHash3 x64 128 with seed 0, written for these vectors; Tests/ConformanceVectors compares it with the one of
Tests/ProtocolDoc."""

import struct

M = 2 ** 64 - 1
C = (0x87C37B91114253D5, 0x4CF5AD432745937F)
# How each half is scrambled and then stirred: rotation of the product, of the half, and what is added at the end.
SCRAMBLE = (31, 33)
STIR = ((27, 0x52DCE729), (31, 0x38495AB5))


def rotl(x, n):
    return (x << n & M) | x >> 64 - n


def scramble(k, half):
    return rotl(k * C[half] & M, SCRAMBLE[half]) * C[1 - half] & M


def fmix(k):
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        k = (k ^ k >> 33) * factor & M
    return k ^ k >> 33


def halves(text):
    h = [0, 0]
    padded = text + bytes(-len(text) % 16)
    blocks = list(struct.iter_unpack("<QQ", padded))
    tail = blocks.pop() if len(text) % 16 else (0, 0)
    for block in blocks:
        for half in (0, 1):
            rotation, constant = STIR[half]
            h[half] = ((rotl(h[half] ^ scramble(block[half], half), rotation) + h[1 - half]) * 5 + constant) & M
    h = [h[half] ^ scramble(tail[half], half) ^ len(text) for half in (0, 1)]
    h[0] = h[0] + h[1] & M
    h[1] = h[1] + h[0] & M
    h = [fmix(h[0]), fmix(h[1])]
    h[0] = h[0] + h[1] & M
    return h[0], h[1] + h[0] & M


def digest(text):
    return struct.pack("<QQ", *halves(text))
