package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// otherServer is a server that must not be contacted.
func otherServer(t *testing.T, s *httptest.Server) *atomic.Int32 {
	t.Helper()
	hits := new(atomic.Int32)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		t.Errorf("another server was sent %s %s %v", r.Method, r.URL, r.Header)
	})
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return hits
}

// The target of a redirect gets neither the key nor the file. A complete that
// is answered with 301, 302 or 303 may have been done, with its answer elsewhere;
// 307 and 308 say that another server is to do it.
func TestRedirectsAreRefused(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(nil)
	otherServer(t, other)
	port := other.URL[strings.LastIndex(other.URL, ":"):]
	wheres := map[string]string{
		"another port": other.URL + "/x", "another host": "http://localhost" + port + "/x", "no host": "//localhost" + port + "/x",
	}
	for _, c := range []struct {
		faults []string
		args   []string
		code   int
	}{
		{[]string{"create"}, nil, exitFailed},
		{[]string{"put@part=2"}, nil, exitFailed},
		{[]string{"put:expire", "presign"}, nil, exitFailed},
		{[]string{"checkpoint@times=all"}, []string{"-j", "1"}, 0}, // it is not needed: complete lists everything
		{[]string{"complete@times=all"}, nil, exitFailed},
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for where, to := range wheres {
				step := c.faults[len(c.faults)-1]
				t.Run(fmt.Sprintf("%s %d to %s", step, status, where), func(t *testing.T) {
					t.Parallel()
					r := newRig(t, "archetype", 16<<10)
					faults := append([]string{}, c.faults...)
					faults[len(faults)-1] += fmt.Sprintf(":redirect=%d,%s", status, to)
					if err := r.server.Faults.Add(faults...); err != nil {
						t.Fatal(err)
					}
					args := append([]string{"upload", r.file(t, 100_000), "-p", "archetype", "--retries", "1"}, c.args...)
					want := c.code
					if step == "complete@times=all" && status < http.StatusTemporaryRedirect {
						want = exitDoubt
					}
					_, messages, code := r.said(t, args...)
					if code != want || code != 0 && !strings.Contains(messages, "a redirect is not followed") {
						t.Errorf("exit code %d, want %d: %s", code, want, messages)
					}
					if left := r.server.Faults.Unfired(); len(left) > 0 {
						t.Errorf("these did not happen: %v", left)
					}
				})
			}
		}
	}
}

// authority is a certificate authority of one's own, as a PEM file, and a
// server's certificate by it.
func authority(t *testing.T) (file string, server tls.Certificate) {
	t.Helper()
	sign := func(tmpl, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	begin, end := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "An authority of one's own"}, NotBefore: begin, NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, leafKey := newKey(), newKey()
	der := sign(root, root, rootKey, rootKey)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: begin, NotAfter: end, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	server = tls.Certificate{Certificate: [][]byte{sign(leaf, root, leafKey, rootKey), der}, PrivateKey: leafKey}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, server
}

// A server whose certificate is not trusted is sent nothing, whatever is
// said to the contrary; --cacert vouches for it.
func TestOnlyTrustedServers(t *testing.T) {
	t.Parallel()
	ca, certificate := authority(t)
	otherCA, _ := authority(t)
	r := newRig(t, "archetype", 16<<10)
	plain, err := url.Parse("http://" + r.listen)
	if err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(plain)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	front.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Close)
	file := r.file(t, 100_000)
	args := []string{"upload", file, "-p", "archetype", "--base-url", front.URL + "/v0.5"}

	plainEnv := r.env
	for what, env := range map[string][]string{
		"nothing":                   nil,
		"what others listen to":     {"SSL_NO_VERIFY=1", "GIT_SSL_NO_VERIFY=1", "NODE_TLS_REJECT_UNAUTHORIZED=0", "PYTHONHTTPSVERIFY=0", "CURL_INSECURE=1", "MULTIPUT_INSECURE=true", "MULTIPUT_CACERT=" + otherCA},
		"settings of Go's":          {"GODEBUG=x509ignoreCN=0,x509sha1=1,tlsunsafeekm=1,x509usefallbackroots=1,insecure=1"},
		"another one's certificate": {"SSL_CERT_FILE=" + otherCA},
	} {
		r.env = append(append([]string{}, plainEnv...), env...)
		_, messages, code := r.said(t, args...)
		if code != exitFailed || !strings.Contains(messages, "--cacert FILE") || seen.Load() != 0 {
			t.Errorf("with %s: exit code %d, %d requests: %s", what, code, seen.Load(), messages)
		}
	}
	r.env = plainEnv
	for _, flag := range []string{"--insecure", "-k", "--no-check-certificate", "--tls-skip-verify", "--no-verify-ssl"} {
		if _, messages, code := r.said(t, append(args, flag)...); code != exitUsage {
			t.Errorf("%s: exit code %d: %s", flag, code, messages)
		}
	}
	if _, messages, code := r.said(t, append(args, "--cacert", ca)...); code != 0 || seen.Load() == 0 {
		t.Errorf("with --cacert: exit code %d: %s", code, messages)
	}
	r.cmpObject(t, file)
	if runtime.GOOS == "linux" { // elsewhere the system's own store is asked
		r.env = append(plainEnv, "SSL_CERT_FILE="+ca)
		if _, messages, code := r.said(t, append(args, "--cacert", otherCA)...); code != 0 {
			t.Errorf("with --cacert, what the system trusts is trusted no more: exit code %d: %s", code, messages)
		}
		r.env = plainEnv
	}
	for _, not := range []string{file, filepath.Join(r.dir, "missing")} {
		if _, messages, code := r.said(t, append(args, "--cacert", not)...); code != exitConfig {
			t.Errorf("--cacert %s: exit code %d: %s", not, code, messages)
		}
	}

	// From https, a redirect to http is none either.
	to := httptest.NewServer(nil)
	otherServer(t, to)
	if err := r.server.Faults.Add("create:redirect=308," + to.URL); err != nil {
		t.Fatal(err)
	}
	if _, messages, code := r.said(t, append(args, "--cacert", ca)...); code != exitFailed || !strings.Contains(messages, "a redirect is not followed") {
		t.Errorf("exit code %d: %s", code, messages)
	}
}
