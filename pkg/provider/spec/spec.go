// Package spec is what every kind of provider shares: the Definition that the
// command line works with, its options and keys, and what is wrong with one.
//
// It knows no kind of provider and sends nothing.
package spec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Definition is what can be known of a provider before it is opened, and how to
// open it. It does not change.
type Definition struct {
	Name  string // what -p calls it, or the configuration
	As    string // what -p takes where that is not the Name, such as s3://BUCKET[/KEY]
	Title string // what people call it
	Docs  string // the URL of the API's documentation; may be empty
	Base  string // the URL of the API; empty: Settings has to give one
	File  string // the user's manifest; empty: built in
	Text  []byte // of the manifest; nil: there is none

	Where string // where the API is, in words, where that is not one URL
	Auth  string // where credentials come from, in words, where they are no Keys

	One      bool // the address names one object: it takes one file
	Replaces bool // of two files with one name, the later replaces the earlier

	Keys      []Key
	Options   Options
	Limits    upload.Limits
	Abilities Abilities
	Requests  []Request // in the order of an upload
	Findings  []Finding // warnings and hints
	Elsewhere []string  // other origins that requests go to, without a key: constant ones
	FileTo    []string  // those that parts go to
	// Given says that URLs which the API gave are those of parts, and
	// those of other requests, which have no key then. FileOwn says that parts go
	// to the API itself.
	Given, RequestsGiven, FileOwn bool
	// PartsNeedKey says that parts cannot be sent, or not be confirmed, without a key.
	PartsNeedKey bool

	// Open checks the settings, in this order: the base URL (a *BaseError), the
	// options (an *OptionError), the keys (an error that wraps
	// upload.ErrDenied). Nothing is sent.
	Open func(Settings) (Provider, error)
	// Samples are the documented exchanges that come with the definition, for
	// pkg/provider/check. Its error is an *Error. Nil: there are none.
	Samples func() ([]Sample, error)
}

// Provider is an API that is ready for requests. The engine asks it for its
// further abilities (upload.Checkpointer, upload.Prober …).
type Provider interface {
	upload.Provider
	upload.Limiter
	// Target is where a file goes: the identity of its upload, but for the
	// file's name and type.
	Target() upload.Target
}

// Keyless is a Provider that may have been opened without a key.
type Keyless interface{ Keyless() bool }

// Finder is a Provider that finds its address and its key by itself, not as the
// Definition says.
type Finder interface {
	// Address is where requests go.
	Address() string
	// KeyFrom says where the key was found. Its error wraps upload.ErrDenied, or is
	// temporary.
	KeyFrom(ctx context.Context) (string, error)
}

// Requester is a Provider whose requests are not the same for every file.
type Requester interface {
	// Requests are those for a file of so many bytes in so many parts, as
	// Definition.Requests has them.
	Requests(size int64, parts int) []Request
}

// Remote is a Provider that can list its unfinished uploads, also those of other
// clients.
type Remote interface {
	Remote(ctx context.Context) ([]RemoteUpload, error)
	// AbortRemote aborts one. One that is gone is not an error.
	AbortRemote(ctx context.Context, r RemoteUpload) error
}

// RemoteUpload is an unfinished upload as the provider knows it.
type RemoteUpload struct {
	ID      string
	Key     string
	Name    string // for people, such as s3://BUCKET/KEY
	Started time.Time
	Parts   int   // that are stored
	Bytes   int64 // that are stored
}

// Key is a secret that a provider needs.
type Key struct {
	Env   string // the environment variable that holds it; empty: none
	Title string // such as "API key"
}

// Secret is a key that is read when it is needed.
type Secret interface{ Reveal() string }

// Client makes one exchange, as a transport.Client does.
type Client interface {
	Do(ctx context.Context, r transport.Request) (*transport.Reply, error)
}

// Settings are what the user sets for a Definition.
type Settings struct {
	Base    string            // the URL of the API; empty: the definition's
	Keys    []Secret          // by their place in Definition.Keys; a nil one is missing
	Options map[string]string // those that the user set, as text
	Client  Client            // nil: one without limits
	// Keyless has the provider opened without a key too. A request that needs one
	// is an error that wraps upload.ErrDenied then.
	Keyless bool
	// Recorded says that the options are those of an upload that was begun before,
	// perhaps on another machine.
	Recorded bool
	// Proof says that an upload fails unless all of it is verified: what verifies it
	// is worth its cost.
	Proof bool
	// Signed are presigned requests of one upload, as upload.EndSigner made them;
	// they go before any key.
	Signed map[string]upload.Presigned
}

// Abilities are what an API can do, as far as the definition makes use of it.
type Abilities struct {
	Plan        string   // who plans the parts: one of the Plan constants
	URLs        string   // where parts go: one of the URLs constants
	Checkpoints bool     // it takes receipts before the end
	TakesOver   bool     // create can resume an upload that the API has
	Probes      bool     // it can be asked whether an upload was completed
	Aborts      bool     // it has a call that aborts an upload
	Lists       bool     // it is a Remote: it lists its unfinished uploads
	Waits       bool     // it can be asked whether the file is ready
	Digests     []string // of the whole file, that complete can take
}

// Who plans the parts of an upload, and where they go.
const (
	PlanAPI    = "api"    // the API says what the parts are
	PlanWish   = "wish"   // the API does, and respects the client's part size
	PlanClient = "client" // multiput splits the file

	URLsOnce  = "once"  // presigned URLs that create gives, and none after
	URLsAgain = "again" // presigned URLs that can be requested again
	URLsNone  = "none"  // parts go to the API itself
)

// Request is one kind of request to the API.
type Request struct {
	Step   string // create, presign, part, confirm, checkpoint, complete, ready, probe or abort
	Method string
	Path   string // below the base URL; empty: another URL
	To     string // what other URL, in words; empty: a presigned one
}

// Finding is what provider check says of a definition that is valid.
type Finding struct {
	Kind string // warning or hint
	Problem
}

// NeedsKey reports whether there is a key.
func (d *Definition) NeedsKey() bool { return len(d.Keys) > 0 }

// KeyEnv is the variable of the first key that has one; empty: none has.
func (d *Definition) KeyEnv() string {
	for _, k := range d.Keys {
		if k.Env != "" {
			return k.Env
		}
	}
	return ""
}

// BaseFor is the base URL with the options in it that it names; empty: there
// is none, or an option that it names has no value.
func (d *Definition) BaseFor(set map[string]string) string {
	base := d.Base
	for _, o := range d.Options {
		v, given := set[o.Name]
		if !given && o.Default != nil {
			v = fmt.Sprint(o.Default)
		}
		if v != "" {
			base = strings.ReplaceAll(base, "{options."+o.Name+"}", v)
		}
	}
	if strings.Contains(base, "{") {
		return ""
	}
	return base
}

// Origin is the scheme, host and port that a key is for: those of base, or of
// the definition's own where that is empty; empty: it is not a URL.
func (d *Definition) Origin(base string) string {
	if base == "" {
		base = d.Base
	}
	origin, err := transport.Origin(base)
	if err != nil {
		return ""
	}
	return origin
}

// CheckKey says what is wrong with the key at place i, as Open would.
func (d *Definition) CheckKey(i int, s Secret) error {
	_, err := d.Keys[i].Take(d.Title, s)
	return err
}

// Take takes the text out of a secret and checks that a header can carry it.
// Its error wraps upload.ErrDenied and names the provider by this title.
func (k Key) Take(title string, s Secret) (string, error) {
	text := ""
	if s != nil {
		text = s.Reveal()
	}
	what := k.Title
	if what == "" {
		what = "API key"
	}
	from := k.Env
	if named, ok := s.(interface{ Source() string }); ok && named.Source() != "" {
		from = named.Source() // the file or the command that it came from
	}
	bad := func(format string) error {
		why := fmt.Sprintf(format, what)
		if from != "" {
			why += " (" + from + ")"
		}
		return fmt.Errorf("%s: %w: %s", title, upload.ErrDenied, why)
	}
	switch {
	case text == "":
		return "", bad("no %s is set")
	case strings.TrimSpace(text) != text:
		return "", bad("the %s has white space, perhaps a line break, around it")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", bad("the %s has a character in it that no key has, such as a line break")
	}
	return text, nil
}

// ErrOwn is in the errors that a definition words itself.
var ErrOwn = errors.New("the definition says so")

// BaseError says what is wrong with the URL of an API.
type BaseError struct {
	Provider string // its title
	Reason   string
}

func (e *BaseError) Error() string { return e.Provider + ": the URL of the API: " + e.Reason }

// AddressError says what is wrong with an address that stands for a provider and
// a place there, such as s3://BUCKET/KEY.
type AddressError struct {
	Address string // as the user gave it
	Reason  string
}

func (e *AddressError) Error() string { return e.Address + ": " + e.Reason }

// Error is what is wrong with a definition that is in a file.
type Error struct {
	File     string
	Problems []Problem // by line; at least one
}

// Problem is one thing that is wrong with a definition.
type Problem struct {
	Line   int    // 0: the file as a whole
	Column int    // 0: the line as a whole
	Key    string // such as create.body; may be empty
	Text   string
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.In(e.File)
	}
	return strings.Join(lines, "\n")
}

// In is the problem as it reads with the name of its file.
func (p Problem) In(file string) string {
	s := file
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Line > 0 && p.Column > 0 {
		s += fmt.Sprintf(":%d", p.Column)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Text
}

// Sample is one documented exchange: what a step is told, the request that has
// to come of it, the reply, and what that has to mean.
type Sample struct {
	Step  string
	Given Given
	// Request is nil where any will do.
	Request *SampleRequest
	Reply   SampleReply
	// Want are the words that the step's outcome is compared by; "error" and
	// "message" are of a failure.
	Want map[string]any
	// Fault makes an error of what differs, at one key of the sample, such as
	// request.body; empty: the sample as a whole.
	Fault func(key, text string) Problem
}

// Given is what the step of a sample is told. Zero values stand for the
// defaults that docs/manifest.md gives.
type Given struct {
	File     upload.File
	HasFile  bool // whether the sample says what the file is
	Options  map[string]string
	PartSize int64
	Part     int
	Parts    []int
	Bytes    *string
	URL      string
	Receipts []string
	Digests  upload.Digests
}

// SampleRequest is the request of a sample.
type SampleRequest struct {
	Send   string            // METHOD and path
	Header map[string]string // each of these has to be there
	Body   any               // JSON; nil: none
	Text   *string           // instead of Body
	Fields map[string]any    // of a form; nil: none
}

// SampleReply is the reply of a sample.
type SampleReply struct {
	Status int
	Header map[string]string
	Body   string
}
