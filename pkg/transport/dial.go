package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// idleWait is how long a connection is kept for the next exchange. It is below
// what common servers allow (5 s): a request on a connection that the server has
// just closed fails, and it is unknown whether the server acted on it.
const idleWait = 4 * time.Second

func (c *Client) dial() {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 15 * time.Second, Control: bound}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &lastWord{Conn: c, heard: make(chan struct{})}, nil
	}
	// Tickets are for one server name each; parts go to few.
	sessions := tls.NewLRUClientSessionCache(0)
	transport := func(p *http.Protocols, buffer int) *http.Transport {
		return &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			OnProxyConnectResponse: connected,
			DialContext:            dial,
			// One for each: net/http writes the protocols it offers into it.
			TLSClientConfig:     &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12, GetClientCertificate: noCertificate, ClientSessionCache: sessions},
			TLSHandshakeTimeout: 30 * time.Second,
			IdleConnTimeout:     idleWait,
			MaxIdleConnsPerHost: 256,
			DisableCompression:  true, // it would add a header that no URL was signed for
			Protocols:           p,
			WriteBufferSize:     buffer,
		}
	}
	http1, both := new(http.Protocols), new(http.Protocols)
	http1.SetHTTP1(true)
	both.SetHTTP1(true)
	both.SetHTTP2(true)
	// Not an http.Client: it follows redirects, and reads where they lead to
	// even where it is told not to.
	//
	// Over TLS the default of 4 KiB costs a third of the rate; without TLS, ReadFrom
	// has a buffer of its own.
	c.api, c.bulk, c.plain = transport(both, 0), transport(http1, copyBuffer), transport(http1, 0)
}

// mostWaiting is how many bytes may wait in the kernel to be sent, beside those that
// are under way. It would take megabytes for each connection: on a slow link whole
// parts would count as sent long before they are, and more of them at once would look
// faster.
const mostWaiting = 128 << 10

// bound sets that where the system can.
func bound(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = boundWaiting(fd, mostWaiting) // it is only better with it
	})
}

// lastWordWait is how long a failed write waits for what the server said.
const lastWordWait = time.Second

// lastWord is a connection whose failed writes wait until nothing more can be
// read from it. A store that refuses a part answers and hangs up while the body
// is still on its way; net/http would return the failed write or the answer,
// whichever it sees first, and cut the answer short.
type lastWord struct {
	net.Conn
	once  sync.Once
	heard chan struct{} // closed when no more can be read
}

func (c *lastWord) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.end()
	}
	return n, err
}

func (c *lastWord) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		select {
		case <-c.heard:
		case <-time.After(lastWordWait):
		}
	}
	return n, err
}

// copyBuffer is how much of a body goes to the kernel at once. io.Copy's own
// 32 KiB are half of what curl takes, and cost a tenth of the rate on loopback.
const copyBuffer = 256 << 10

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// ReadFrom is how net/http sends a body that it does not need to buffer.
func (c *lastWord) ReadFrom(r io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	// Without its own ReadFrom, which would come back here.
	return io.CopyBuffer(struct{ io.Writer }{c}, r, *buf)
}

func (c *lastWord) Close() error {
	c.end()
	return c.Conn.Close()
}

func (c *lastWord) end() { c.once.Do(func() { close(c.heard) }) }

// NetConn is the connection beneath.
func (c *lastWord) NetConn() net.Conn { return c.Conn }
