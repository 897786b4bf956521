package transport

import "golang.org/x/sys/unix"

// soNWrite is SO_NWRITE of <sys/socket.h>: bytes in the send queue.
const soNWrite = 0x1024

// unsent counts the bytes in a socket's send queue that are not acknowledged.
func unsent(fd uintptr) (int, error) {
	return unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, soNWrite)
}

// boundWaiting bounds the bytes in a socket's send queue that have yet to go out.
func boundWaiting(fd uintptr, most int) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, most)
}
