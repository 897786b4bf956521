package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/upload"
)

// doctorRig is multiput in this process, with nothing of this machine's configuration.
type doctorRig struct {
	t   *testing.T
	dir string
}

const doctorKey = "sk-doctor-0123456789"

func newDoctorRig(t *testing.T) *doctorRig {
	w := &doctorRig{t, t.TempDir()}
	for _, name := range []string{"HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "USERPROFILE", "LocalAppData", "AppData"} {
		t.Setenv(name, w.dir)
	}
	for _, name := range []string{"MULTIPUT_CONFIG", "MULTIPUT_JOURNAL", "MULTIPUT_PROVIDER", "MULTIPUT_PROFILE", "MULTIPUT_CACERT", "ATAI_API_KEY", "FILEAI_API_KEY", "UPSCAYL_API_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("OPENAI_API_KEY", doctorKey)
	return w
}

// doctor runs it and gives its exit code and its report.
func (w *doctorRig) doctor(args ...string) (int, string) {
	w.t.Helper()
	var out, messages bytes.Buffer
	a := newApp()
	a.stdout, a.stderr = &out, &messages
	code := a.run(w.t.Context(), append([]string{"doctor"}, args...))
	if strings.Contains(out.String()+messages.String(), doctorKey) {
		w.t.Error("the key is shown")
	}
	return code, out.String() + messages.String()
}

// says checks a run's exit code, and that its report has a line like each of
// these.
func (w *doctorRig) says(code int, lines []string, args ...string) {
	w.t.Helper()
	got, out := w.doctor(args...)
	if got != code {
		w.t.Errorf("doctor %s: exit code %d, want %d", strings.Join(args, " "), got, code)
	}
	for _, l := range lines {
		if !regexp.MustCompile(`(?m)^` + l + `$`).MatchString(out) {
			w.t.Errorf("doctor %s: no line is %s", strings.Join(args, " "), l)
		}
	}
	if w.t.Failed() {
		w.t.Logf("%s", out)
	}
}

// apiServer is an API of which doctor asks nothing.
func apiServer(t *testing.T, ahead time.Duration) (url, cacert string) {
	t.Helper()
	var mu sync.Mutex
	var wrong []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusUnauthorized)
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodHead || strings.Contains(fmt.Sprint(r.Header, r.URL), doctorKey) || r.Header.Get("Authorization") != "" {
			wrong = append(wrong, r.Method+" "+fmt.Sprint(r.Header))
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	s.StartTLS()
	t.Cleanup(func() {
		s.Close()
		if len(wrong) > 0 {
			t.Errorf("the API was sent %s", wrong)
		}
	})
	cacert = filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(cacert, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, cacert
}

// A healthy one: the way to the API is gone without the key.
func TestDoctorFindsTheWay(t *testing.T) {
	w := newDoctorRig(t)
	url, ca := apiServer(t, 0)
	w.says(0, []string{
		`ok +config +.*config\.yaml does not exist; only flags and variables are used`,
		`ok +state +.* can be written to`, `ok +space +.*`, `ok +journal +there is none yet at .*`, `ok +files +.*`,
		`ok +openai provider +OpenAI, https://127\.0\.0\.1:\d+`,
		`ok +openai key +found in OPENAI_API_KEY`,
		`ok +openai proxy +none is used for 127\.0\.0\.1:\d+`,
		`ok +openai dns +127\.0\.0\.1 is an IP address`,
		`ok +openai tls +TLS 1\.3, certificate issued by Acme Co, good until 2084-01-29`,
		`ok +openai clock +it agrees with the API's`,
	}, "-p", "openai", "--base-url", url, "--cacert", ca)
	// The key is set, so that the provider need not be named.
	t.Setenv("MULTIPUT_OPENAI_BASE_URL", url)
	t.Setenv("MULTIPUT_CACERT", ca)
	w.says(0, []string{`ok +openai key +found in OPENAI_API_KEY`, `ok +openai clock .*`})
}

// A wrong clock is a warning that names it.
func TestDoctorComparesClocks(t *testing.T) {
	w := newDoctorRig(t)
	for ahead, want := range map[time.Duration]string{
		5 * time.Minute:  `warning +openai clock +this machine's clock is (5m0s|4m59s|5m1s) ahead of the API's: let the system set its clock.*`,
		-2 * time.Minute: `warning +openai clock +this machine's clock is (2m0s|1m59s|2m1s) behind the API's: .*`,
	} {
		url, ca := apiServer(t, ahead)
		w.says(0, []string{want}, "-p", "openai", "--base-url", url, "--cacert", ca)
	}
}

// What is in the way ends with the code that an upload would end with.
func TestDoctorNamesWhatIsInTheWay(t *testing.T) {
	w := newDoctorRig(t)
	url, ca := apiServer(t, 0)
	w.says(1, []string{`failed +openai tls +127\.0\.0\.1:\d+: .*certificate.*, issued by Acme Co: --cacert FILE adds your own certificate authority`}, "-p", "openai", "--base-url", url)

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	closed.Close()
	w.says(exitAgain, []string{`failed +openai connection +` + addr + ` cannot be reached \(.*\): is there a firewall.*`}, "-p", "openai", "--base-url", "https://"+addr)
	w.says(exitAgain, []string{`failed +openai dns +nowhere\.invalid is not found \(.*\): .*`}, "-p", "openai", "--base-url", "https://nowhere.invalid")

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	w.says(1, []string{`failed +openai tls +127\.0\.0\.1:\d+ does not speak TLS: .*`}, "-p", "openai", "--base-url", "https"+strings.TrimPrefix(plain.URL, "http"))
	w.says(exitUsage, []string{`failed +openai url +.*plain http is refused.*`}, "-p", "openai", "--base-url", "http://api.example")

	t.Setenv("OPENAI_API_KEY", "")
	w.says(exitDenied, []string{
		`failed +openai key +no API key is found \(OPENAI_API_KEY is not set.*\): put a valid API key into OPENAI_API_KEY, .*`,
		`ok +openai clock .*`, // the rest is looked at all the same
	}, "-p", "openai", "--base-url", url, "--cacert", ca)
	t.Setenv("OPENAI_API_KEY", "two words\nand a line")
	w.says(exitDenied, []string{`failed +openai key +.*line break.*`}, "-p", "openai", "--base-url", url, "--cacert", ca)
	w.says(exitDenied, []string{`failed +openai key +.*no such file.*|failed +openai key +.*cannot find.*`}, "-p", "openai", "--base-url", url, "--cacert", ca, "--api-key-file", filepath.Join(w.dir, "none"))
}

// An API that takes the connection and says nothing is not waited for longer
// than a person would.
func TestDoctorDoesNotHang(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits as long as it would")
	}
	w := newDoctorRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	w.says(exitAgain, []string{`failed +openai connection +` + l.Addr().String() + ` cannot be reached \(no answer within 10s\): .*`},
		"-p", "openai", "--base-url", "http://"+l.Addr().String())
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

// What would expire is reported before it does, and an unknown outcome too.
func TestDoctorTellsWhatExpires(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	record := func(state upload.State, expires time.Duration) journal.Listed {
		l := journal.Listed{Parts: 2, PartsStored: 1}
		l.Record = upload.Record{Path: "/d/a.bin", State: state, Target: upload.Target{Provider: "openai"}, Upload: upload.Upload{ID: "u"}}
		if expires != 0 {
			l.Record.Upload.Expires = now.Add(expires)
		}
		return l
	}
	urls := record(upload.Sending, 0)
	urls.URLsExpire = now.Add(15 * time.Minute)
	for _, c := range []struct {
		record journal.Listed
		want   string
	}{
		{record(upload.Sending, 0), "ok 1 unfinished, none in doubt, none that expires within 1h0m0s"},
		{record(upload.Sending, 2*time.Hour), "ok 1 unfinished, none in doubt, none that expires within 1h0m0s"},
		{record(upload.Sending, 20*time.Minute), "warning /d/a.bin to openai: 1 of 2 parts are stored, and the upload ends in 20m0s: run the same command again before that"},
		{record(upload.Sending, -3*time.Hour), "warning /d/a.bin to openai: 1 of 2 parts are stored, and the upload ended 3 hours ago: run the same command again: it creates a new upload if necessary"},
		{urls, "warning /d/a.bin to openai: 1 of 2 parts are stored, and the time of its presigned URLs ends in 15m0s: run the same command again before that"},
		{record(upload.Completing, 0), "warning /d/a.bin to openai may or may not have completed: the final request got no clear answer: run the same command again to ask the provider"},
		{record(upload.Done, 0), "warning /d/a.bin to openai is uploaded, and its result was not printed: run the same command again to have its result printed"},
	} {
		found := lookAtUploads([]journal.Listed{c.record}, now)
		if len(found) != 1 {
			t.Fatalf("%d findings: %v", len(found), found)
		}
		if got := strings.TrimSuffix(found[0].Status+" "+found[0].Text+": "+found[0].Advice, ": "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	var many []journal.Listed
	for range mostUploads + 5 {
		many = append(many, record(upload.Completing, 0))
	}
	if found := lookAtUploads(many, now); len(found) != mostUploads+1 || found[mostUploads].Text != "and 5 more" {
		t.Errorf("%d findings, the last of them %v", len(found), found[len(found)-1])
	}
}

// A certificate that ends soon is a warning.
func TestDoctorLooksAtCertificates(t *testing.T) {
	for left, want := range map[time.Duration]string{10 * 24 * time.Hour: checkWarning, 100 * 24 * time.Hour: checkOK} {
		c := &x509.Certificate{NotAfter: time.Now().Add(left), Issuer: pkix.Name{CommonName: "R11"}}
		f := lookAtTLS("https://api.example", &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{c}}, 200)
		if f.Status != want || !strings.Contains(f.Text, "TLS 1.3, certificate issued by R11, good until "+c.NotAfter.Format(time.DateOnly)) {
			t.Errorf("%s: %+v", left, f)
		}
	}
}

// Too few files for what is sent at once is a warning that says how many.
func TestDoctorCountsFiles(t *testing.T) {
	limit, err := openFiles()
	if err != nil || limit > 1<<20 {
		t.Skip("there is no such limit here")
	}
	if f := lookAtFiles(int(limit)); f.Status != checkWarning || !strings.Contains(f.Advice, fmt.Sprintf("ulimit -n %d", filesFor(int(limit)))) {
		t.Errorf("%+v", f)
	}
	if f := lookAtFiles(0); limit >= filesFor(0) && f.Status != checkOK {
		t.Errorf("%+v", f)
	}
}
