"""What is asked of the kernel for a connection."""

import os
import socket
import threading
import unittest

from stagewire.session import SEND_BUFFER_BYTES, Session
from stagewire.v1 import envelope_pb2 as pb
from test_bad_input import Broker


def send_buffer(connection: socket.socket) -> int:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


class Socket(unittest.TestCase):
    def test_a_large_send_buffer_is_asked_for(self):
        with Broker() as broker:
            broker.listen()
            wakeup, other = os.pipe()
            self.addCleanup(os.close, wakeup)
            self.addCleanup(os.close, other)
            peers = []

            def welcome() -> None:
                peers.append(broker.accept())
                peers[0].welcome()

            thread = threading.Thread(target=welcome)
            thread.start()
            session = Session.attach(broker.address, pb.Hello(min_version=1000, max_version=1000, stage="score"), wakeup)
            thread.join()
            with peers[0].connection as asked:  # any socket of this kernel, asked for the same
                asked.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
                self.assertEqual(send_buffer(session.connection), send_buffer(asked))
            session.discard()


if __name__ == "__main__":
    unittest.main()
