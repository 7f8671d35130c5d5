package stagewire

import (
	"net"
	"syscall"
	"testing"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

func sendBufferOf(t *testing.T, conn net.Conn) (size int) {
	t.Helper()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			size, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func TestTheKernelIsAskedForALargeSendBuffer(t *testing.T) {
	broker := newFakeBroker(t, newWorker(func(*Record, *Emitter) error { return nil }, nil, nil), "")
	first := broker.welcome(welcomeMessage())
	second := newWorker(func(*Record, *Emitter) error { return nil }, nil, nil)
	second.socket = broker.listener.Addr().String()
	attached := make(chan net.Conn, 1)
	go func() {
		conn, _, _, err := second.connect()
		if err != nil {
			t.Error(err)
		}
		attached <- conn
	}()
	link, _ := broker.accept()
	link.send(&pb.Envelope{Message: &pb.Envelope_Welcome{Welcome: welcomeMessage()}})
	conn := <-attached
	if conn == nil {
		return
	}
	defer conn.Close()
	asked := first.conn.(*net.UnixConn) // any socket of this kernel, asked for the same
	if err := asked.SetWriteBuffer(sendBuffer); err != nil {
		t.Fatal(err)
	}
	if got, granted := sendBufferOf(t, conn), sendBufferOf(t, asked); got != granted {
		t.Errorf("the send buffer has %d bytes, the kernel gives %d to who asks", got, granted)
	}
	first.close(OK, "")
	broker.expectExit(0)
}
