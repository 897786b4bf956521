package transport

import "golang.org/x/sys/unix"

// unsent counts the bytes in a socket's send queue that are not acknowledged.
func unsent(fd uintptr) (int, error) { return unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }
