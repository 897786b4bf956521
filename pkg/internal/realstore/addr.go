package realstore

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Addr gives a loopback address at which a server can listen, stop, and listen
// again while the test runs. No other test is given it, in this process or in
// another: a UDP socket of the same number, which no server here needs, is held
// meanwhile. And no client is: systems take their ports from 32768 on.
func Addr(tb testing.TB) string {
	tb.Helper()
	var on net.ListenConfig
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		reserved, err := on.ListenPacket(tb.Context(), "udp", addr)
		if err != nil {
			continue // another test has it
		}
		l, err := on.Listen(tb.Context(), "tcp", addr)
		if err != nil {
			reserved.Close()
			continue // a program has it that knows nothing of this
		}
		tb.Cleanup(func() { reserved.Close() })
		if err := l.Close(); err != nil {
			tb.Fatalf("realstore: free %s: %v", addr, err)
		}
		return addr
	}
	tb.Fatal("realstore: no port is free")
	return ""
}
