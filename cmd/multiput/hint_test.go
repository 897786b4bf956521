package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/source/tree"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// A file that has another size is sent from its beginning.
func TestHintOfAChangedFile(t *testing.T) {
	err := fmt.Errorf("a.bin: %w: it had 3 bytes and has 2", upload.ErrChanged)
	if hint := classOf(err).hint(failure{err: err}); !strings.Contains(hint, "same size") {
		t.Errorf("the hint is %q", hint)
	}
}

// What a library leaves to the program to say: the flags that change what it warns of.
func TestHintsOfWarnings(t *testing.T) {
	for hint, want := range map[string]string{
		warningHint(upload.PartSizeIgnored{Stored: 3}):                                                "--restart",
		warningHint(upload.PartSizeIgnored{Planned: true}):                                            "--restart",
		warningHint(upload.PartSizeIgnored{Multiple: 256}):                                            "", // a new upload would have it too
		warningHint(upload.ClockSkew{}):                                                               "",
		skippedHint(tree.Skipped{Link: true}):                                                         "--follow",
		noMatchHint(failure{err: &tree.NoMatchError{Include: []string{"a"}}}):                         "--include:",
		noMatchHint(failure{err: &tree.NoMatchError{Exclude: []string{"a"}}}):                         "--exclude:",
		noMatchHint(failure{err: &tree.NoMatchError{Include: []string{"a"}, Exclude: []string{"b"}}}): "--include and --exclude:",
		configHint(failure{err: config.ErrKeyInFile}):                                                 "multiput login",
		configHint(failure{err: config.ErrNoJournal}):                                                 "--journal",
	} {
		if !strings.Contains(hint, want) || want == "" && hint != "" {
			t.Errorf("%q, want %q", hint, want)
		}
	}
}

// TestHintsNameWhatWouldHelp: a hint names the flags that the user gave, and no
// others.
func TestHintsNameWhatWouldHelp(t *testing.T) {
	slow := fmt.Errorf("at 1 MB/s: %w", upload.ErrTooSlow)
	redirect := func(to string, signed bool) error {
		return errors.Join(upload.ErrReply, &transport.Error{Status: 307, Err: &transport.RedirectError{To: to, Signed: signed}})
	}
	certificate := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	large := errors.Join(upload.ErrRefused, &transport.Error{Status: 413, Message: "too large", Bulk: true})
	whole := errors.Join(upload.ErrRefused, &transport.Error{Op: "create the upload", Status: 413, Message: "above 250 GB"})
	for _, c := range []struct {
		f    failure
		says []string
		not  []string
	}{
		{f: failure{err: slow, sized: true}, says: []string{"--part-size", "-j"}, not: []string{"--limit-rate"}},
		{f: failure{err: slow, limited: true}, says: []string{"--limit-rate"}, not: []string{"--part-size", "-j"}},
		{f: failure{err: slow}, says: []string{"faster connection"}, not: []string{"--limit-rate", "--part-size", "-j"}},
		{f: failure{err: slow, sized: true, limited: true}, says: []string{"--limit-rate", "--part-size", "-j"}},
		{f: failure{err: certificate(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "api.example"})}, says: []string{"another host"}, not: []string{"--cacert"}},
		{f: failure{err: certificate(x509.CertificateInvalidError{Reason: x509.Expired})}, says: []string{"clock"}, not: []string{"--cacert"}},
		{f: failure{err: certificate(x509.UnknownAuthorityError{})}, says: []string{"--cacert"}},
		{f: failure{err: fmt.Errorf("create: %w", tls.RecordHeaderError{})}, says: []string{"https://"}},
		{f: failure{err: large}, says: []string{"--part-size"}},
		{f: failure{err: large, report: upload.Report{Parts: 3, PartsStored: 1}}, says: []string{"--part-size", "--restart"}},
		{f: failure{err: large, planned: true}, says: []string{"multiput plan --restart", "--part-size"}},
		{f: failure{err: errors.Join(upload.ErrRefused, &transport.Error{Op: "complete the upload", Status: 412}), report: upload.Report{Parts: 3, PartsStored: 3}}, says: []string{"multiput abort"}, not: []string{"--restart"}},
		{f: failure{err: errors.Join(upload.ErrRefused, &transport.Error{Op: "complete the upload", Status: 412}), planned: true, report: upload.Report{Parts: 3, PartsStored: 3}}, says: []string{"multiput abort --plan"}, not: []string{"--restart"}},
		{f: failure{err: errors.Join(upload.ErrRefused, &transport.Error{Op: "complete the upload", Status: 400, Code: "InvalidPart"}), planned: true, report: upload.Report{Parts: 3, PartsStored: 3}}, says: []string{"multiput put --restart"}},
		{f: failure{err: whole}, not: []string{"--part-size"}},
		{f: failure{err: whole, report: upload.Report{Parts: 3}}, not: []string{"--part-size"}},
		{f: failure{err: redirect("https://eu.example", true)}, says: []string{"sign", "https://eu.example"}, not: []string{"--base-url", "region"}},
		{f: failure{err: redirect("https://eu.example", false)}, says: []string{"--base-url", "https://eu.example"}},
		{f: failure{err: &transport.RedirectError{To: "https://api.example/v1/uploads/", Same: true}}, says: []string{"path", "manifest"}, not: []string{"is at"}},
		{f: failure{err: &transport.RedirectError{To: "https://s3.example", Same: true, Signed: true}}, says: []string{"path", "sign"}, not: []string{"host", "region"}},
		{f: failure{err: redirect("", true)}, says: []string{"sign"}, not: []string{"region"}},
		{f: failure{err: &transport.Error{Status: 307, Code: "TemporaryRedirect", Err: &transport.RedirectError{To: "https://b.s3.eu-north-1.example", Signed: true}}}, says: []string{"host or region", "eu-north-1"}},
		{f: failure{err: redirect("", false)}, says: []string{"--base-url"}},
	} {
		class := classOf(c.f.err)
		hint := class.hint(c.f)
		if class.code != exitFailed {
			t.Errorf("%v: exit code %d", c.f.err, class.code)
		}
		for _, want := range c.says {
			if !strings.Contains(hint, want) {
				t.Errorf("%v: the hint does not name %s: %s", c.f.err, want, hint)
			}
		}
		for _, no := range c.not {
			if strings.Contains(hint, no) {
				t.Errorf("%v: the hint names %s: %s", c.f.err, no, hint)
			}
		}
	}
}

// A server that is not reached is a matter of time, also where no upload is on its
// way, as with list --remote.
func TestNotReached(t *testing.T) {
	for code, err := range map[int]error{
		exitAgain:  &transport.Error{Op: "list", Err: errors.New("no route to host"), Retry: true, Unsent: true},
		exitFailed: &transport.Error{Op: "list", Err: errors.New("not a URL"), Unsent: true},
	} {
		if class := classOf(err); class.code != code {
			t.Errorf("%v: exit code %d", err, class.code)
		}
	}
}

// Where no more files may be opened, the file that was next is not to blame.
func TestTooManyFiles(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}
	for err, code := range map[error]int{
		&config.Error{Where: "config.yaml", Err: cause}:                exitJournal,
		fmt.Errorf("%w: %w", upload.ErrNoInput, cause):                 exitJournal,
		fmt.Errorf("%w: %w", upload.ErrJournal, cause):                 exitJournal,
		fmt.Errorf("send part 3: %w: %w", upload.ErrUnfinished, cause): exitAgain,
	} {
		class := classOf(err)
		if class.code != code || class.hint(failure{err: err}) == "" {
			t.Errorf("%v: exit code %d, %q", err, class.code, class.hint(failure{err: err}))
		}
	}
}
