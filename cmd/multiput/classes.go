package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/source/tree"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

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
	{typed[*loopbackError], exitFailed, "failed", say("bring the loopback interface up: ip link set lo up")},
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
		return "run the same command again when the file no longer changes: if it has the same size then, and the provider lets parts be replaced, unchanged parts are not sent again"
	}},
	{typed[*handoff.NewerError], exitData, "data", say("use the version of multiput that wrote it, or plan again with this one")},
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
	{typed[*config.Error], exitConfig, "config", configHint},
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
	{typed[*tree.NoMatchError], exitNoInput, "noinput", noMatchHint},
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
	{typed[*upload.PlanError], exitFailed, "failed", func(f failure) string {
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

// tooManyFiles matches what this process could not open. Connections are
// retried: what they wait for is other connections' end.
func tooManyFiles(err error) bool {
	return wraps(syscall.EMFILE, syscall.ENFILE)(err) && !errors.Is(err, upload.ErrUnfinished)
}

// inTrouble reports whether a server said that it could not, and nothing was
// refused, not even where it asks for no other try now; or could not be reached.
func inTrouble(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && !errors.Is(err, upload.ErrRefused) && (t.Status >= http.StatusInternalServerError || t.Status == 0 && t.Retry)
}

func hasOptionHint(err error) bool {
	name, _ := optionHint(err)
	return name != ""
}

// spoolError is one of a spool that cannot be written.
type spoolError interface {
	error
	SpoolDir() string
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

// classOf is the row of the table that an error is in.
func classOf(err error) class {
	return classes[slices.IndexFunc(classes, func(c class) bool { return c.is(err) })]
}
