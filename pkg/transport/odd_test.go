package transport_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/transport"
)

// answering is a server that answers each connection with these bytes, and then ends it.
func answering(t *testing.T, bytes string) string {
	t.Helper()
	return sockets(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1<<10))
		_, _ = c.Write([]byte(bytes))
		_ = c.CloseWrite()
		_, _ = c.Read(make([]byte, 1))
		_ = c.Close()
	})
}

// An answer that is not HTTP may be an accident. Three in a row are none.
func TestNotHTTP(t *testing.T) {
	for _, answer := range []string{"SSH-2.0-x\r\n", "HTTP/one 200 OK\r\n\r\n", "HTTP/1.1 yes\r\n\r\n", "HTTPS\r\n"} {
		url := answering(t, answer)
		c := &transport.Client{}
		for try := range 4 {
			_, err := c.Do(t.Context(), transport.Request{Op: "look", Method: "GET", URL: url})
			e := failed(t, err)
			if again := try < 2; e.Retry != again || e.Unsent || !errors.As(err, new(*transport.NotHTTPError)) || !strings.Contains(err.Error(), "the server does not speak HTTP") {
				t.Errorf("%q, try %d: %+v (%v), want a NotHTTPError, retried: %t", answer, try+1, e, err, again)
			}
		}
	}
}

// An answer that is cut off is a broken connection, however often: its beginning
// is HTTP.
func TestAnswerIsCutOff(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for length := range len(answer) {
		url := answering(t, answer[:length])
		c := &transport.Client{}
		for try := range 4 {
			_, err := c.Do(t.Context(), transport.Request{Op: "look", Method: "GET", URL: url})
			if e := failed(t, err); !e.Retry || errors.As(err, new(*transport.NotHTTPError)) {
				t.Errorf("%q, try %d: %+v (%v), want one that is retried", answer[:length], try+1, e, err)
			}
		}
	}
}
