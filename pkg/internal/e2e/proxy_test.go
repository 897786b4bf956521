package e2e

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// testProxy is a proxy of the test's own. It answers CONNECT with these statuses,
// one after the other and the last forever; after 200 it connects to the
// target, whatever name it was asked for.
type testProxy struct {
	address string // host and port

	mu       sync.Mutex
	statuses []int
	asked    []string // the hosts, and the credentials if there were any
}

func newTestProxy(t *testing.T, target string, handle func(o *testProxy, c net.Conn, target string)) *testProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &testProxy{address: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				handle(o, c, target)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return o
}

// says has the proxy answer so from now on, and forget what it was asked.
func (o *testProxy) says(statuses ...int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.statuses, o.asked = statuses, nil
}

func (o *testProxy) heard() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

func (o *testProxy) next(asked string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, asked)
	status := o.statuses[0]
	if len(o.statuses) > 1 {
		o.statuses = o.statuses[1:]
	}
	return status
}

// hangsUp is the status of a proxy that closes the connection instead.
const hangsUp = -1

func connectProxy(o *testProxy, c net.Conn, target string) {
	r := bufio.NewReader(c)
	q, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	status := o.next(strings.TrimSpace(q.Host + " " + q.Header.Get("Proxy-Authorization")))
	if status == hangsUp {
		return
	}
	if _, err := fmt.Fprintf(c, "HTTP/1.1 %d as the test says\r\n\r\n", status); err == nil && status == http.StatusOK {
		tunnel(c, r, target)
	}
}

// socksProxy speaks so much of SOCKS 5 that it can refuse: with a status below
// 256 as the reply to CONNECT, else by the method of authentication.
func socksProxy(o *testProxy, c net.Conn, target string) {
	r := bufio.NewReader(c)
	methods := make([]byte, 2)
	if _, err := io.ReadFull(r, methods); err != nil {
		return
	}
	if _, err := r.Discard(int(methods[1])); err != nil {
		return
	}
	status := o.next("socks")
	if status > 255 {
		_, _ = c.Write([]byte{5, 0xff})
		return
	}
	_, _ = c.Write([]byte{5, 0})
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return
	}
	length := 4 - 1 // an IPv4 address, of which one byte was read
	if head[3] == 3 {
		length = int(head[4])
	}
	if _, err := r.Discard(length + 2); err != nil {
		return
	}
	if _, err := c.Write([]byte{5, byte(status), 0, 1, 0, 0, 0, 0, 0, 0}); err == nil && status == 0 {
		tunnel(c, r, target)
	}
}

// tunnel copies both ways until one side ends.
func tunnel(a net.Conn, fromA io.Reader, target string) {
	b, err := (&net.Dialer{}).Dial("tcp", target)
	if err != nil {
		return
	}
	defer b.Close()
	done := make(chan struct{}, 2)
	for _, way := range []struct {
		to   io.Writer
		from io.Reader
	}{{a, b}, {b, fromA}} {
		go func() {
			_, _ = io.Copy(way.to, way.from)
			done <- struct{}{}
		}()
	}
	<-done
}

// proxied is an API that is reached at https://api.example.com, through a proxy
// alone.
func proxied(t *testing.T) (r *rig, target, base string) {
	t.Helper()
	r = rigFor(t, &sandbox.Server{API: "archetype", PartSize: 64 << 10})
	api := &sandbox.Server{API: "archetype", Dir: filepath.Join(r.dir, "served"), Key: r.server.Key, PartSize: 64 << 10}
	h, err := api.Handler()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	ca := filepath.Join(r.dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = append(slices.DeleteFunc(r.env, func(v string) bool { return strings.HasPrefix(v, "NO_PROXY=") }), "MULTIPUT_CACERT="+ca)
	return r, s.Listener.Addr().String(), "https://api.example.com/v0.5"
}

// TestProxyRefuses: what a proxy refuses for good is said to be the proxy's, at
// once; what passes is retried.
func TestProxyRefuses(t *testing.T) {
	r, target, base := proxied(t)
	http1 := newTestProxy(t, target, connectProxy)
	socks := newTestProxy(t, target, socksProxy)
	nobody := "127.0.0.1:1"
	env := r.env
	for _, c := range []struct {
		variable string
		statuses []int
		code     int
		asked    int // most
		says     []string
	}{
		{"HTTPS_PROXY=http://" + http1.address, []int{407}, exitDenied, 3, []string{"the proxy http://" + http1.address + " answered CONNECT with 407 Proxy Authentication Required", "hint: ", "HTTPS_PROXY"}},
		{"https_proxy=" + http1.address, []int{401}, exitDenied, 3, []string{"the proxy http://" + http1.address + " answered CONNECT with 401", "hint: "}},
		{"ALL_PROXY=http://u:hunter22@" + http1.address, []int{403}, exitFailed, 3, []string{"the proxy http://" + http1.address + " answered CONNECT with 403 Forbidden", "NO_PROXY"}},
		{"HTTPS_PROXY=http://" + http1.address, []int{405}, exitFailed, 3, []string{"answered CONNECT with 405"}},
		{"all_proxy=http://" + http1.address, []int{502, 503, 504, 200}, 0, 1000, nil},
		{"ALL_PROXY=socks5://" + socks.address, []int{256}, exitDenied, 3, []string{"the proxy socks5://" + socks.address + " refused"}},
		{"ALL_PROXY=socks5h://" + socks.address, []int{2}, exitFailed, 3, []string{"the proxy socks5h://" + socks.address + " refused to connect", "ruleset"}},
		{"ALL_PROXY=socks5h://" + socks.address, []int{4, 0}, 0, 1000, nil},
		{"MULTIPUT_RETRIES=1 ALL_PROXY=socks5://" + socks.address, []int{3}, exitAgain, 2, []string{"the proxy socks5://" + socks.address + " cannot connect: network unreachable", "hint: "}},
		{"MULTIPUT_RETRIES=2 HTTPS_PROXY=http://" + http1.address, []int{504}, exitAgain, 3, []string{"the proxy http://" + http1.address + " answered CONNECT with 504 Gateway Timeout", "hint: "}},
		{"MULTIPUT_RETRIES=1 HTTPS_PROXY=http://" + http1.address, []int{hangsUp}, exitAgain, 2, []string{"the proxy http://" + http1.address + " closed the connection", "hint: "}},
		{"MULTIPUT_RETRIES=1 HTTPS_PROXY=http://" + nobody, []int{0}, exitAgain, 0, []string{"the proxy http://" + nobody + " cannot be reached: connection refused", "hint: "}},
	} {
		http1.says(c.statuses...)
		socks.says(c.statuses...)
		r.env = append(slices.Clone(env), strings.Fields(c.variable)...)
		stdout, messages, code := r.said(t, "upload", "-p", "archetype", "--base-url", base, "--restart", r.file(t, 150_000))
		asked := append(http1.heard(), socks.heard()...)
		if code != c.code || len(asked) > c.asked || (len(asked) == 0) != (c.asked == 0) || (stdout == "") != (code != 0) {
			t.Errorf("%s, %v: exit code %d after %v: %s", c.variable, c.statuses, code, asked, messages)
		}
		for _, want := range c.says {
			if !strings.Contains(messages, want) {
				t.Errorf("%s, %v does not say %q: %s", c.variable, c.statuses, want, messages)
			}
		}
		if strings.Contains(messages, "hunter22") {
			t.Errorf("shows the password: %s", messages)
		}
		if code == 0 {
			continue
		}
		out, _, code := r.said(t, "doctor", "-p", "archetype", "--base-url", base)
		if code != c.code || !strings.Contains(out, c.says[0]) || strings.Contains(out, "hunter22") {
			t.Errorf("%s, %v: doctor ends with %d: %s", c.variable, c.statuses, code, out)
		}
	}
}

// A variable that should name a proxy and does not is refused by every command that
// goes to the network, and what it holds is not shown. The rest does without.
func TestBadProxy(t *testing.T) {
	r := newRig(t, "archetype", 64<<10)
	file := r.file(t, 200_000)
	r.server.Faults.Clear()
	plan := filepath.Join(r.dir, "a.plan")
	if _, messages, code := r.said(t, "plan", file, "-p", "archetype", "-o", plan); code != 0 {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	if _, messages, code := r.said(t, "put", plan, file, "--shard", "1/1", "-o", plan+".receipts"); code != 0 {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	if _, messages, code := r.said(t, "upload", file, "--name", "b.bin", "-p", "archetype"); code != 0 {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	id, _, _ := r.said(t, "list", "--jq", `.uploads[] | select(.state == "planned").id`)
	for variable, value := range map[string]string{
		"HTTPS_PROXY": "%%", "HTTP_PROXY": "http://u:hunter2@%zz", "ALL_PROXY": "socks4://u:hunter2@proxy.example", "all_proxy": "http://u:hunter2@proxy.example:port",
	} {
		t.Run(variable, func(t *testing.T) {
			for _, args := range [][]string{
				{"upload", file, "-p", "archetype"},
				{"upload", file, "-p", "archetype", "--json"},
				{"resume"},
				{"abort", strings.TrimSpace(id)},
				{"plan", file, "-p", "archetype", "--name", "c.bin", "-o", plan + "2"},
				{"put", plan, file, "--shard", "1/2", "-o", plan + ".more"},
				{"complete", plan, plan + ".receipts"},
				{"list", "--remote", "-p", "s3://bucket"},
				{"provider", "check", "--live", "archetype"},
				{"doctor", "-p", "archetype"},
			} {
				cmd := r.command(t, args...)
				cmd.Env = append(cmd.Env, variable+"="+value)
				b, _ := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code != exitConfig || !strings.Contains(string(b), variable) || strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "%%") {
					t.Errorf("%s: exit code %d: %s", args, code, b)
				}
			}
			for _, args := range [][]string{{"list"}, {"provider", "list"}, {"upload", file, "-p", "sandbox"}, {"version"}} {
				cmd := r.command(t, args...)
				cmd.Env = append(cmd.Env, variable+"="+value)
				if b, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", args, err, b)
				}
			}
		})
	}
}
