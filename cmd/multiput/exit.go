package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"crypto/tls"
	"crypto/x509"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// The exit codes tell a script what to do next; docs/scripts.md is their
// reference.
const (
	exitFailed   = 1
	exitUsage    = 64
	exitData     = 65
	exitNoInput  = 66
	exitJournal  = 73
	exitOutput   = 74
	exitAgain    = 75
	exitDoubt    = 76
	exitDenied   = 77
	exitConfig   = 78
	exitSignaled = 128 // and the signal's number
)

// urgency orders the exit codes of several files: the first of these that
// occurred is the program's. Signals come before all.
var urgency = []int{exitDoubt, exitData, exitOutput, exitJournal, exitDenied, exitConfig, exitFailed, exitNoInput, exitUsage, exitAgain, 0}

// worse gives the more urgent of two exit codes.
func worse(a, b int) int {
	rank := func(code int) int {
		if code > exitSignaled {
			return -1
		}
		return slices.Index(urgency, code)
	}
	if rank(b) < rank(a) {
		return b
	}
	return a
}

// failure is what went wrong, with what is known of where.
type failure struct {
	err     error
	file    string // as the user named it; may be empty
	name    string // that the user gave it; empty: its own
	piped   bool   // whether it is standard input that can be read once only
	report  upload.Report
	keyEnv  string // the variable of the provider's key
	keyFrom string // where else the key came from; empty: from keyEnv
	base    string // the address that replaced the provider's own; may be empty
	stopped string // what to say of an interruption; empty: how much is stored
	command string // the command that runs; tell knows it
	planned bool   // whether a plan says which upload it is
	several bool   // whether there are other files, so that this one is to be named
	sized   bool   // whether the user chose the size of parts
	limited bool   // whether the user limited the rate
}

// id is what list, show and the like call the upload.
func (f failure) id() string { return short(journal.ID(f.report.Target, f.report.File.Path)) }

// class is one row of the table that maps errors to exit codes and hints. The
// first row that matches counts.
type class struct {
	is   func(error) bool
	code int
	kind string
	hint func(failure) string
}

func wraps(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
	}
}

func typed[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func say(hint string) func(failure) string { return func(failure) string { return hint } }

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

var classes = []class{
	{wraps(upload.ErrDoubt), exitDoubt, "protocol", func(f failure) string {
		if f.piped {
			return fmt.Sprintf("look at the provider for %s (upload %s), multiput show %s says how; multiput resume %s asks once more", f.report.File.Name, f.report.Upload, f.id(), f.id())
		}
		if errors.Is(f.err, upload.ErrCompleted) {
			return fmt.Sprintf("the provider has %s (upload %s): look for it there, multiput show %s says how; run the same command again to ask once more, but not with --restart, which uploads it a second time", f.report.File.Name, f.report.Upload, f.id())
		}
		return fmt.Sprintf("look at the provider for %s (upload %s), multiput show %s says how; run the same command again to ask once more, or with --restart to upload it again", f.report.File.Name, f.report.Upload, f.id())
	}},
	{typed[interrupted], exitSignaled, "interrupted", say("")},
	{typed[*jqError], exitOutput, "ioerr", deliverHint("with an expression that fits its result")},
	{typed[*outputError], exitOutput, "ioerr", say("")},
	{typed[*fileError], exitOutput, "ioerr", say("nothing is lost: run the same command again to have it written")},
	{typed[*placeError], exitJournal, "cantcreat", say("use -o for another file")},
	{wraps(upload.ErrUndelivered), exitOutput, "ioerr", deliverHint("to have the result printed")},
	// Whichever file it was that could not be opened, nothing is wrong with it.
	{tooManyFiles, exitJournal, "cantcreat", say("raise the limit of open files (ulimit -n), or lower --concurrency")},
	{typed[*sandbox.DirError], exitJournal, "cantcreat", say("multiput sandbox --dir DIR uses another directory, and XDG_STATE_HOME moves the one of -p sandbox")},
	{wraps(upload.ErrUnverified), exitData, "data", func(f failure) string {
		if f.report.Parts == 0 {
			return "without --set resume=true it is uploaded as a new file" // refused at create: it was a taking over
		}
		return "--checksum auto accepts an upload that nothing can verify"
	}},
	{wraps(upload.ErrChanged), exitData, "data", func(f failure) string {
		if f.piped {
			return "a stream cannot be sent again: run the whole command again, or upload the same data as a file with the same --name"
		}
		return "run the same command again when the file no longer changes: unchanged parts are not sent again, if the provider lets parts be replaced"
	}},
	{wraps(handoff.ErrDamaged), exitData, "data", say("use the file exactly as multiput wrote it")},
	{wraps(handoff.ErrContradiction), exitData, "data", say("omit the wrong receipts, or send the part again with multiput put --restart")},
	{wraps(upload.ErrNotPlanned), exitData, "data", say("only the planned file can be sent; to send a copy with another modification time, plan with --part-checksums")},
	{typed[*overError], exitFailed, "failed", say("the provider issues no new ones: multiput plan --restart creates another upload, and all parts are sent again")},
	{typed[*expiredError], exitAgain, "tempfail", func(f failure) string {
		var e *expiredError
		errors.As(f.err, &e)
		return fmt.Sprintf("run multiput plan --renew %s on a machine with the key, then the same command with the new plan", quoted(e.plan))
	}},
	{typed[*handoff.MissingError], exitAgain, "tempfail", say("send them with multiput put, and run the same command again with their receipts")},
	{wraps(upload.ErrChecksum), exitData, "data", say("something between here and the store alters the data; run the same command again to send it once more")},
	{typed[*config.Error], exitConfig, "config", unknownHint},
	{typed[*usageError], exitUsage, "usage", func(f failure) string {
		var u *usageError
		errors.As(f.err, &u)
		return fmt.Sprintf("see %s --help", cmp.Or(u.cmd, f.command))
	}},
	{typed[*config.UsageError], exitUsage, "usage", say("")},
	{typed[*provider.TrustError], exitUsage, "usage", func(f failure) string {
		var t *provider.TrustError
		errors.As(f.err, &t)
		return fmt.Sprintf("--base-url %s sends your key there", transport.Redact(t.Base))
	}},
	{typed[*provider.OptionError], exitUsage, "usage", say("set an option with --set KEY=VALUE")},
	{typed[*provider.UnknownError], exitUsage, "usage", say("-p takes a provider's name or the path of a manifest")},
	{wraps(upload.ErrPartSize), exitUsage, "usage", say("choose another --part-size, or none")},
	{typed[*goneError], exitNoInput, "noinput", func(f failure) string {
		var e *goneError
		errors.As(f.err, &e)
		return e.hint()
	}},
	{wraps(upload.ErrNoInput), exitNoInput, "noinput", noInputHint},
	{typed[spoolError], exitJournal, "cantcreat", say("use --spool-dir DIR for another directory")},
	{typed[*provider.Error], exitConfig, "config", say("")},
	{typed[*provider.BaseError], exitUsage, "usage", say("")},
	{typed[*provider.AddressError], exitUsage, "usage", say("")},
	{hasOptionHint, exitFailed, "failed", func(f failure) string {
		name, value := optionHint(f.err)
		return fmt.Sprintf("--set %s=%s", name, value)
	}},
	{typed[*stuckError], exitFailed, "failed", func(f failure) string {
		var s *stuckError
		errors.As(f.err, &s)
		return fmt.Sprintf("multiput abort --local %s removes it from the journal without telling the provider", s.id)
	}},
	{typed[*lostError], exitJournal, "cantcreat", func(f failure) string {
		var l *lostError
		errors.As(f.err, &l)
		return fmt.Sprintf("multiput abort --local %s removes it from the journal", l.id)
	}},
	{wraps(upload.ErrNothing), exitUsage, "usage", say("multiput list --all shows what there is")},
	{wraps(upload.ErrBusy), exitAgain, "tempfail", say("wait for it to end, then run the same command again")},
	{proxyRefuses(true), exitDenied, "noperm", say("the proxy requires a valid user and password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT")},
	{isPortal, exitFailed, "failed", say("this network requires a login first (a captive portal): open any web page in a browser, then run the same command again")},
	{typed[*transport.NotHTTPError], exitFailed, "failed", say("check the URL of the API, and HTTPS_PROXY if it is set; something in between may answer instead")},
	{proxyRefuses(false), exitFailed, "failed", say("ask the administrator of the proxy to allow this server, or name the server in NO_PROXY if it can be reached without a proxy")},
	{typed[*transport.TLSError], exitFailed, "failed", say("multiput supports TLS 1.2 and 1.3, without client certificates: check the URL, and whether a proxy intercepts TLS")},
	{wraps(upload.ErrDenied), exitDenied, "noperm", func(f failure) string {
		if f.keyFrom != "" && !typed[*transport.Error](f.err) {
			return "" // it was not even read
		}
		if f.keyFrom != "" {
			return "is the key from " + f.keyFrom + " valid?"
		}
		if f.keyEnv == "" {
			return ""
		}
		return fmt.Sprintf("put a valid API key into %s, name a file with --api-key-file, or store it with multiput login", f.keyEnv)
	}},
	{wraps(upload.ErrTooSlow), exitFailed, "failed", slowHint},
	{isPlan, exitFailed, "failed", func(f failure) string {
		if f.report.Provider == "fileai" {
			return "what this API means by a megabyte is not documented: try --set megabyte=1000000 (or 1048576, the default)"
		}
		return ""
	}},
	{wraps(config.ErrNoKeyring), exitFailed, "failed", say("an API key can also come from the provider's variable, --api-key-file or --api-key-command")},
	{typed[*tls.CertificateVerificationError], exitFailed, "failed", func(f failure) string { return certificateHint(f.err) }},
	{noTLS, exitFailed, "failed", say("check the URL (https:// or http://), and whether a proxy intercepts the connection")},
	{wraps(upload.ErrUnfinished), exitAgain, "tempfail", againHint},
	{typed[*transport.RedirectError], exitFailed, "failed", redirectHint},
	{wraps(upload.ErrReply), exitFailed, "failed", refusedHint},
	{tooLarge, exitFailed, "failed", func(f failure) string {
		if f.planned {
			return "try multiput plan --restart with a smaller --part-size, if the provider allows that; otherwise the file is too large"
		}
		return "try a smaller --part-size, if the provider allows that (with --restart if parts are stored); otherwise the file is too large"
	}},
	{wraps(upload.ErrRefused, upload.ErrLimit, upload.ErrGone), exitFailed, "failed", refusedHint},
	{typed[*sumsError], exitJournal, "cantcreat", say("")},
	{wraps(upload.ErrJournal), exitJournal, "cantcreat", say("use --journal DIR for another directory")},
	{inTrouble, exitAgain, "tempfail", againHint},
	{func(error) bool { return true }, exitFailed, "failed", baseHint},
}

// unknownHint names what was meant by a key or a profile that there is not.
func unknownHint(f failure) string {
	var u *config.UnknownError
	if errors.Is(f.err, fs.ErrPermission) {
		return "HOME may be another user's, for example under sudo or in a container: set HOME, or use --config and --journal"
	}
	if !errors.As(f.err, &u) {
		return ""
	}
	return strings.TrimPrefix(provider.DidYouMean(u.Name, u.Known), ", ")
}

// tooManyFiles matches what this process could not open. Connections are tried
// again: what they wait for is other connections' end.
func tooManyFiles(err error) bool {
	return wraps(syscall.EMFILE, syscall.ENFILE)(err) && !errors.Is(err, upload.ErrUnfinished)
}

// inTrouble reports whether a server said that it could not, and nothing was
// refused, not even where it asks for no other try now; or could not be reached.
func inTrouble(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && !errors.Is(err, upload.ErrRefused) && (t.Status >= http.StatusInternalServerError || t.Status == 0 && t.Retry)
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

func hasOptionHint(err error) bool {
	name, _ := optionHint(err)
	return name != ""
}

func isPlan(err error) bool { return typed[*upload.PlanError](err) }

// spoolError is one of a spool that cannot be written.
type spoolError interface {
	error
	SpoolDir() string
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
	return strings.Join(append(do, "use a faster connection or a smaller file"), "; or ") + ". The same command tries again"
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

// noTLS matches a server that speaks no TLS where an https URL leads.
func noTLS(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) || errors.Is(err, http.ErrSchemeMismatch)
}

// tooLarge matches the refusal of a part because of its size. At other requests it
// is the file that is too large.
func tooLarge(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && t.Bulk && t.Status == http.StatusRequestEntityTooLarge
}

// isPortal matches the answers of a network that wants a login first. An API is not
// at an address without TLS.
func isPortal(err error) bool {
	var (
		t *transport.Error
		p *transport.ProxyError
		r *transport.RedirectError
	)
	switch {
	case errors.As(err, &p):
		return p.Portal
	case errors.As(err, &r):
		_, refused := transport.CheckURL(r.To)
		return !r.Same && strings.HasPrefix(r.To, "http://") && refused != nil
	}
	return errors.As(err, &t) && t.Status == http.StatusNetworkAuthenticationRequired
}

// proxyRefuses matches what a proxy refuses for good, for want of credentials
// or not.
func proxyRefuses(denied bool) func(error) bool {
	return func(err error) bool {
		var p *transport.ProxyError
		return errors.As(err, &p) && !p.Temporary() && p.Denied == denied
	}
}

// refusedHint leads out of an upload that cannot be completed: its parts are
// stored, and every run would end as this one.
func refusedHint(f failure) string {
	if f.planned && errors.Is(f.err, upload.ErrGone) {
		return "multiput plan, on a machine with the key, creates another upload: all parts are sent again"
	}
	if f.report.Parts > 0 && f.report.PartsStored == f.report.Parts && !f.piped && !f.planned {
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

// classOf is the row of the table that an error is in.
func classOf(err error) class {
	return classes[slices.IndexFunc(classes, func(c class) bool { return c.is(err) })]
}

// tell prints an error with its hint on stderr and gives its exit code.
func (a *app) tell(f failure) int {
	f.command = a.command
	c := classOf(f.err)
	code, message, hint := c.code, f.err.Error(), c.hint(f)
	var i interrupted
	if code == exitSignaled && errors.As(f.err, &i) {
		code = i.exitCode()
		if message = f.stopped; message == "" {
			message = interruptedMessage(f)
		}
		if f.several {
			message = transport.Visible(f.file) + ": " + message
		}
	} else if errors.Is(f.err, context.Canceled) && code != exitDoubt {
		code = exitAgain
	}
	if f.file != "" && !strings.HasPrefix(message, f.report.File.Path+" ") && !strings.HasPrefix(message, f.report.File.Path+":") && code < exitSignaled && !errors.Is(f.err, upload.ErrNoInput) {
		message = transport.Visible(f.file) + ": " + message
	}
	a.actions.Failed(progress.Failure{File: f.file, Report: f.report, Code: code, Message: message, Hint: hint}, a.json)
	if a.json {
		o := map[string]any{"kind": c.kind, "message": message, "exit_code": code}
		if hint != "" {
			o["hint"] = hint
		}
		var t *transport.Error
		if errors.As(f.err, &t) && t.RequestID != "" {
			o["request_id"] = t.RequestID
		}
		all := map[string]any{"schema": 1, "error": o}
		if f.file != "" {
			all["file"] = f.file
		}
		b, err := json.Marshal(all)
		if err == nil {
			fmt.Fprintf(a.stderr, "%s\n", transport.VisibleJSON(b))
			return code
		}
	}
	// Names of files and words of servers are in both.
	message, hint = a.lines(message, f), a.lines(hint, f)
	if code > exitSignaled {
		fmt.Fprintln(a.stderr, message)
		return code
	}
	fmt.Fprintf(a.stderr, "%s %s\n", progress.Paint(a.color, progress.Red, "multiput:"), message)
	if hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
	return code
}

// lines is a message as a terminal may have it. It may have several lines, but
// none of them begins in a name that the user gave.
func (a *app) lines(message string, f failure) string {
	names := []string{f.file, f.report.File.Path, f.report.File.Name}
	for _, arg := range a.args {
		_, value, _ := strings.Cut(arg, "=")
		names = append(names, arg, value)
	}
	for _, name := range names {
		abs, _ := filepath.Abs(name)
		for _, name := range []string{abs, filepath.Base(name), name} {
			if strings.ContainsAny(name, "\n\t") {
				message = strings.ReplaceAll(message, name, transport.Visible(name))
			}
		}
	}
	return transport.VisibleLines(message)
}

func interruptedMessage(f failure) string {
	r := f.report
	var t *transport.Error
	switch {
	case r.Parts == 0 && errors.As(f.err, &t) && t.Status == 0 && !t.Unsent:
		return "interrupted: create was not answered, and the provider may have an upload that stays unused. Run the same command again to start."
	case f.piped && r.PartsStored > 0:
		return fmt.Sprintf("interrupted: %d of %d parts are stored. A pipe cannot be read again: %s.", r.PartsStored, r.Parts, asFile(r.File.Name))
	case f.piped && r.Parts > 0:
		return fmt.Sprintf("interrupted: 0 of %d parts are stored. Run the whole command again.", r.Parts)
	case r.Parts == 0:
		return "interrupted: nothing was sent yet. Run the same command again to start."
	}
	return fmt.Sprintf("interrupted: %d of %d parts are stored. Run the same command again to continue.", r.PartsStored, r.Parts)
}

// severalError ends a command whose failures were told of one by one.
type severalError struct{ code int }

func (e *severalError) Error() string { return "not every file is uploaded" }
