package main

import (
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
)

// fault is what goes wrong with one try of a request.
type fault int

const (
	none fault = iota
	failed
	stalled
	cut
)

// faults decide by a request's id alone, so that the same requests have the same faults in every run, whatever their order.
type faults struct {
	share float64 // of requests that have any
	seed  uint64
}

// of is what goes wrong with a request's nth try, from 0. A request that has faults has one to three, and then no more.
func (f faults) of(request string, try int) fault {
	h := f.hash(request)
	if float64(h>>40)/(1<<24) >= f.share || try > int(h%3) {
		return none
	}
	switch roll := h >> (8 + 4*uint(try)) % 16; { // other bits for each try
	case roll < 8:
		return failed
	case roll < 13:
		return cut
	default:
		return stalled
	}
}

func (f faults) hash(request string) uint64 {
	h := fnv.New64a()
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], f.seed)
	_, _ = h.Write(seed[:])
	_, _ = h.Write([]byte(request))
	// FNV's upper bits change little with the last bytes: SplitMix64's finaliser (Steele, Lea, Flood 2014) spreads them.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// checksum is CRC-32 (IEEE), which every language has.
func checksum(name string) uint32 { return crc32.ChecksumIEEE([]byte(name)) }
