package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/source/tree"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// againHint says how an upload is continued.
func againHint(f failure) string {
	switch {
	case f.piped && f.report.PartsStored > 0:
		return asFile(f.report.File.Name)
	case f.piped:
		return "run the whole command again"
	}
	return "run the same command again to continue"
}

// deliverHint says how the result of an upload is printed that was not.
func deliverHint(how string) func(failure) string {
	return func(f failure) string {
		if f.piped {
			return fmt.Sprintf("the file is uploaded; run multiput resume %s %s", f.id(), how)
		}
		return "the file is uploaded; run the same command again " + how
	}
}

// configHint leads out of a wrong configuration: of an unknown key or profile it
// names what was meant.
func configHint(f failure) string {
	var u *config.UnknownError
	switch {
	case errors.Is(f.err, config.ErrKeyInFile):
		return "use api-key-file, api-key-command, the provider's variable, or multiput login"
	case errors.Is(f.err, config.ErrNoJournal):
		return "or name a directory for the journal with --journal or MULTIPUT_JOURNAL"
	case errors.Is(f.err, fs.ErrPermission):
		return "HOME may be another user's, for example under sudo or in a container: set HOME, or use --config and --journal"
	case !errors.As(f.err, &u):
		return ""
	}
	return strings.TrimPrefix(provider.DidYouMean(u.Name, u.Known), ", ")
}

// warningHint says what can be done about a warning of an upload.
func warningHint(w upload.Warning) string {
	if e, is := w.(upload.PartSizeIgnored); is && (e.Stored > 0 || e.Planned) {
		return "--restart begins a new upload"
	}
	return ""
}

// skippedHint says, behind a warning, how what is below a directory is not left out.
func skippedHint(s tree.Skipped) string {
	if s.Link {
		return " (--follow does)"
	}
	return ""
}

// noMatchHint says which patterns leave out all files of a directory.
func noMatchHint(f failure) string {
	var e *tree.NoMatchError
	errors.As(f.err, &e)
	const how = ": without a slash, a pattern is of a file's name at any depth; with one, of the path below the directory"
	switch {
	case len(e.Include) == 0:
		return "check --exclude" + how
	case len(e.Exclude) == 0:
		return "check --include" + how
	}
	return "check --include and --exclude" + how
}

// optionHint is the option of the provider that would have a request succeed.
func optionHint(err error) (name, value string) {
	var h interface {
		error
		OptionHint() (name, value string)
	}
	if errors.As(err, &h) {
		return h.OptionHint()
	}
	return "", ""
}

// noInputHint says how to upload something that can be read and is not a regular
// file, or why a file may not be found.
func noInputHint(f failure) string {
	if strings.HasPrefix(f.file, "~") && errors.Is(f.err, fs.ErrNotExist) {
		return "a shell expands ~ only at the beginning of a word without quotes: use the full path"
	}
	var p interface {
		error
		PipeInstead() bool
	}
	if f.file == stdin || f.file == "" || !errors.As(f.err, &p) || !p.PipeInstead() {
		return ""
	}
	// A descriptor has no name, and what the shell opened under its number is gone.
	if dir, number := filepath.Split(f.file); dir == "/dev/fd/" || dir == "/proc/self/fd/" || f.file == "/dev/stdin" {
		from := "COMMAND | "
		if number == "0" || number == "stdin" {
			from = ""
		}
		return fmt.Sprintf("pipe it: %smultiput upload - --name %s", from, quoted(cmp.Or(f.name, "NAME")))
	}
	return fmt.Sprintf("pipe it: multiput upload - <%s --name %s", quoted(f.file), quoted(cmp.Or(f.name, filepath.Base(f.file))))
}

// quoted is a word as a shell reads it.
func quoted(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@%", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// redirectHint says what to change so that the server does not redirect.
func redirectHint(f failure) string {
	var r *transport.RedirectError
	errors.As(f.err, &r)
	switch to := r.To; {
	case r.Same && r.Signed:
		return "the store expects another path than the signed one: the provider has to sign the right path"
	case r.Same:
		return "the API expects the path of the redirect: change the path in the manifest or --base-url"
	case r.Signed && to != "":
		return fmt.Sprintf("the presigned URL is signed for another %s than the store expects: the provider has to sign URLs for %s", signedFor(f.err), to)
	case r.Signed:
		return fmt.Sprintf("the presigned URL is signed for another %s than the store expects: the provider has to sign it for the right one", signedFor(f.err))
	case to != "":
		return fmt.Sprintf("if the API is at %s now, set it with --base-url; the key is then sent there", to)
	}
	return "is the URL of the API right? --base-url sets another"
}

// signedFor is what a presigned URL is for: of S3, which says so in its code, also a
// region.
func signedFor(err error) string {
	var t *transport.Error
	if errors.As(err, &t) && (t.Code == "TemporaryRedirect" || t.Code == "PermanentRedirect") {
		return "host or region"
	}
	return "host"
}

// slowHint names what would make it faster: of the flags, those that hold it
// back.
func slowHint(f failure) string {
	var do []string
	if f.sized {
		do = append(do, "omit --part-size or set a larger one, and send more parts at once (a higher -j)")
	}
	if f.limited {
		do = append(do, "raise --limit-rate")
	}
	return strings.Join(append(do, "use a faster connection or a smaller file"), "; or ") + ". The same command retries"
}

// certificateHint says what may help where a certificate is refused.
func certificateHint(err error) string {
	var (
		host x509.HostnameError
		bad  x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &host):
		return "the server has a certificate for another host: check the URL, and whether a proxy intercepts the connection"
	case errors.As(err, &bad) && bad.Reason == x509.Expired:
		return "is the clock of this machine right?"
	}
	return "--cacert FILE adds your own certificate authority"
}

// refusedHint leads out of an upload that cannot be completed: its parts are
// stored, and every run would end as this one.
func refusedHint(f failure) string {
	if f.planned && errors.Is(f.err, upload.ErrGone) {
		return "multiput plan, on a machine with the key, creates another upload: all parts are sent again"
	}
	if f.report.Parts > 0 && f.report.PartsStored == f.report.Parts && !f.piped {
		t := (*transport.Error)(nil)
		exists := errors.As(f.err, &t) && t.Status == http.StatusPreconditionFailed // for a new upload too
		switch {
		case f.planned && exists:
			return "multiput abort --plan removes the stored parts"
		case f.planned:
			return "if parts were sent again after these receipts were written, send them with multiput put --restart and use its receipts"
		case exists:
			return fmt.Sprintf("multiput abort %s removes the stored parts", f.id())
		}
		return "if this happens again, --restart uploads the file again"
	}
	return baseHint(f)
}

func baseHint(f failure) string {
	var t *transport.Error
	// A refusal in the API's own format does not suggest a wrong URL.
	lost := errors.Is(f.err, upload.ErrReply) || errors.As(f.err, &t) && t.Status == http.StatusNotFound
	if f.base != "" && f.report.Upload == "" && lost && !errors.Is(f.err, provider.ErrOwn) {
		return fmt.Sprintf("is %s the URL of the API?", transport.Redact(f.base))
	}
	return ""
}
