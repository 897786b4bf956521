package transport

import "golang.org/x/sys/unix"

// unsent counts the bytes in a socket's send queue that are not acknowledged.
func unsent(fd uintptr) (int, error) { return unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }

// boundWaiting bounds the bytes in a socket's send queue that have yet to go out.
func boundWaiting(fd uintptr, most int) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, most)
}
