// Package config turns flags, environment and the user's file into one struct,
// in that order of precedence; a profile of the file comes before its top.
//
// It is the only place that reads the environment. It reads no file from the
// working directory: a cloned repository must not redirect a key. It knows no
// flag that takes a secret.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/multiput/multiput/pkg/internal/text"
)

// Config is everything that habit decides.
type Config struct {
	Provider      string
	Concurrency   int           // parts at once; 0: auto
	PartSize      int64         // bytes; 0: whatever suits
	LimitRate     int64         // bytes per second; 0: none
	Retries       int           // of one request; AutoRetries: as many as RetryFor allows
	RetryFor      time.Duration // 0: Retries alone count
	StallTimeout  time.Duration
	Checksum      string // auto, require or off
	Progress      string // auto, bar, plain, json or none
	Color         string // auto, always or never
	ContentType   string
	JSON          bool
	JQ            string
	Quiet         bool
	Verbose       int    // 0, Decisions or Requests
	Journal       string // directory; empty: it is not known
	JournalNamed  bool   // whether a flag chose it
	CACert        string // path; empty: the system's
	APIKeyFile    string
	APIKeyCommand string

	Profile string            // the profile in use; empty: none
	Set     map[string]string // its options of the provider, as text
	File    string            // the config file that was read, or would have been
	Unused  []string          // what the file says for another provider, and why it does not count

	base      map[string]value // by provider
	own       value            // the profile's address, which is its provider's
	settings  []Setting
	noJournal error // why Journal is not known
	flags     *pflag.FlagSet
	keyDir    string // where APIKeyCommand runs; empty: here
}

// Error is something wrong in the config file or in a variable.
type Error struct {
	Where string // the file or the variable
	Err   error
}

func (e *Error) Error() string {
	var named *fs.PathError
	if errors.Is(e.Err, fs.ErrNotExist) && !errors.As(e.Err, &named) {
		return e.Where + ": no such file" // in the same words on every system
	}
	return e.Where + ": " + e.Err.Error()
}
func (e *Error) Unwrap() error { return e.Err }

// What is wrong with the configuration, where a program can say more. Test with
// errors.Is.
var (
	// ErrKeyInFile: a key itself is in the config file.
	ErrKeyInFile = errors.New("an API key must not be in a config file, which gets copied, shared and checked in")
	// ErrNoJournal: no journal is named, and there is no home directory for one.
	ErrNoJournal = errors.New("the journal has no directory")
)

// UnknownError is a name that nothing has.
type UnknownError struct {
	What  string // key or profile
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("unknown %s %q: there are none", e.What, e.Name)
	}
	return fmt.Sprintf("there is no %s %q (known: %s)", e.What, e.Name, strings.Join(e.Known, ", "))
}

// UsageError is a flag whose value cannot be meant.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// AutoRetries leaves the number of retries to Config.RetryFor.
const AutoRetries = -1

// habits are the flags that a config key and a MULTIPUT_ variable stand for
// too. Those that describe one run are not among them.
var habits = []string{
	"provider", "concurrency", "part-size", "limit-rate", "retries", "retry-for", "stall-timeout",
	"checksum", "progress", "color", "content-type", "json", "jq", "quiet", "verbose", "journal", "cacert",
	"api-key-file", "api-key-command",
}

// Flags adds the flags of upload that are habits, with their defaults.
func Flags(f *pflag.FlagSet) {
	f.StringP("provider", "p", "", "the provider: its `NAME`, or a manifest FILE.yaml")
	f.StringP("concurrency", "j", "auto", "`N|auto`: number of parts in flight")
	f.String("part-size", "", "`SIZE` of a part (8MiB, 1.5GB, 500k), if the client can choose it")
	f.String("limit-rate", "", "send at most `SIZE` per second")
	f.String("retries", "auto", "`N|auto`: maximum number of retries of a request; auto: as many as --retry-for allows")
	f.String("retry-for", "15m", "retry a request that keeps failing for this `DURATION`, once the provider was reached")
	f.String("stall-timeout", "1m", "re-send a part after this `DURATION` without progress; 0: never")
	f.String("checksum", "auto", "`auto|require|off`: verify if possible, fail if it is not, or compute no MD5")
	f.String("progress", "auto", "`auto|bar|plain|json|none`: how to show progress")
	f.String("content-type", "", "media `TYPE` of the file (default: detected)")
	f.String("cacert", "", "also trust the certificates in this PEM `FILE`")
	f.String("api-key-file", "", "read the API key from `FILE`")
	f.String("api-key-command", "", "read the API key from the output of `COMMAND`")
}

// GlobalFlags adds the flags of every command that are habits, and --config.
func GlobalFlags(f *pflag.FlagSet) {
	f.String("journal", "", "`DIR` of the journal, which remembers unfinished uploads (default: in the user's state directory)")
	f.String("config", "", "`PATH` of the config file (default: in the user's config directory)")
	f.String("color", "auto", "`auto|always|never`: color messages; auto: on a terminal, unless NO_COLOR is set")
	f.String("profile", "", "use the profile `NAME` of the config file")
	f.Bool("json", false, "print results and errors as JSON")
	f.String("jq", "", "print the output of the jq expression `EXPR` on the JSON object")
	f.BoolP("quiet", "q", false, "print errors only")
	f.VarPF(new(verbosity), "verbose", "v", "explain each decision; -vv also logs the requests, without secrets").NoOptDefVal = once
}

// Load is LoadSettings for a command that uses the journal: it is an *Error if no
// home directory says where that is.
func Load(flags *pflag.FlagSet) (Config, error) {
	c, err := LoadSettings(flags)
	if err == nil {
		err = c.noJournal
	}
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// LoadSettings reads the config file that --config or MULTIPUT_CONFIG names, or the
// user's own if there is one, and puts its profile, variables and flags above
// it. What is wrong is an *Error or, in a flag, a *UsageError.
func LoadSettings(flags *pflag.FlagSet) (Config, error) {
	if err := notEmpty(flags); err != nil {
		return Config{}, err
	}
	path, named, err := Path(flags)
	if err != nil {
		return Config{}, err
	}
	f := &file{path: path}
	l := &layers{flags: flags, file: f, v: viper.NewWithOptions(viper.WithDecoderRegistry(f))}
	if err := f.read(l.v, named); err != nil {
		return Config{}, err
	}
	l.v.SetEnvPrefix("MULTIPUT")
	l.v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	for _, key := range habits {
		if err := l.v.BindEnv(key); err != nil {
			return Config{}, err
		}
		if f := flags.Lookup(key); f != nil {
			if err := l.v.BindPFlag(key, f); err != nil {
				return Config{}, err
			}
		}
	}
	c := Config{File: path, base: f.base, flags: flags}
	if err := l.useProfile(&c); err != nil {
		return Config{}, err
	}
	if err := l.decode(&c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// LoadFor is LoadSettings where the provider is named by other means than a flag, which
// count as one.
func LoadFor(flags *pflag.FlagSet, provider string) (Config, error) {
	if err := notEmpty(flags); err != nil {
		return Config{}, err
	}
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.String("provider", "", "")
	all.AddFlagSet(flags) // all but its provider, if it has one
	if err := all.Set("provider", provider); err != nil {
		return Config{}, err
	}
	return LoadSettings(all)
}

// For is the configuration that the same flags, variables and file make for
// another provider: what is meant for one only is not carried over.
func (c Config) For(provider string) (Config, error) {
	if provider == c.Provider || c.flags == nil { // not loaded: nothing in it is for one only
		c.Provider = provider
		return c, nil
	}
	return LoadFor(c.flags, provider)
}

// notEmpty refuses a flag that was given nothing: --base-url "$STAGING" without
// that variable must not mean the real API.
func notEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && strings.TrimSpace(f.Value.String()) == "" && err == nil {
			err = &UsageError{Err: fmt.Errorf("--%s is empty", f.Name)}
		}
	})
	return err
}

// decode reads the habits into c. Of several mistakes, the first is the error.
func (l *layers) decode(c *Config) error {
	var err error
	c.Journal, c.CACert = read(l, &err, "journal", Expand), read(l, &err, "cacert", Expand)
	c.APIKeyFile, c.APIKeyCommand = read(l, &err, "api-key-file", Expand), l.v.GetString("api-key-command")
	c.Provider = read(l, &err, "provider", expandPath)
	c.ContentType, c.JQ = l.v.GetString("content-type"), l.v.GetString("jq")
	c.JSON, c.Quiet = read(l, &err, "json", parseBool), read(l, &err, "quiet", parseBool)
	c.Verbose = read(l, &err, "verbose", parseVerbose)
	c.PartSize, c.LimitRate = read(l, &err, "part-size", ParseSize), read(l, &err, "limit-rate", ParseSize)
	c.Concurrency = read(l, &err, "concurrency", autoOr(0, 1, 1000, "a number from 1 to 1000"))
	c.Retries = read(l, &err, "retries", autoOr(AutoRetries, 0, math.MaxInt, "a number of retries, such as 10"))
	c.RetryFor, c.StallTimeout = read(l, &err, "retry-for", parseDuration), read(l, &err, "stall-timeout", parseDuration)
	c.Checksum = read(l, &err, "checksum", oneOf("auto", "require", "off"))
	c.Color = read(l, &err, "color", oneOf("auto", "always", "never"))
	c.Progress = read(l, &err, "progress", oneOf("auto", "bar", "plain", "json", "none"))
	if err != nil {
		return err
	}
	l.keySource(c)
	if c.JournalNamed = c.Journal != ""; !c.JournalNamed {
		dir, err := StateDir()
		if err != nil {
			c.noJournal = fmt.Errorf("%w: %w", ErrNoJournal, err)
		} else {
			c.Journal = filepath.Join(dir, "journal")
		}
	}
	c.settings = l.show(c)
	return nil
}

// read parses the value of a habit, and keeps the first error.
func read[T any](l *layers, first *error, key string, parse func(string) (T, error)) T {
	v, err := parse(l.v.GetString(key))
	if err != nil && *first == nil {
		*first = l.wrong(key, err)
	}
	return v
}

// expandPath is Expand for a provider that is named by a path.
func expandPath(s string) (string, error) {
	if !isPath(s) {
		return s, nil
	}
	return Expand(s)
}

func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(cmp.Or(s, "false"))
	if err != nil {
		err = fmt.Errorf("%q is neither true nor false", s)
	}
	return b, err
}

// autoOr parses auto, which an empty text means too, or a number.
func autoOr(auto, least, most int, number string) func(string) (int, error) {
	return func(s string) (int, error) {
		if s == "auto" || s == "" {
			return auto, nil
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%q is neither auto nor %s", s, number)
		}
		return n, nil
	}
}

func parseDuration(s string) (time.Duration, error) {
	if s == "0" || s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration, such as 90s, 15m or 2h", s)
	}
	return d, nil
}

func oneOf(values ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if s == "" || slices.Contains(values, s) {
			return s, nil
		}
		return "", fmt.Errorf("%q is not one of %s", s, strings.Join(values, ", "))
	}
}

// ParseSize reads a size as flags, variables and the file have it: 8MiB, 1.5GB,
// 500k or plain bytes. Empty is 0.
func ParseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	return text.ParseSize(s, text.Decimal)
}

// WantsJSON reports whether a command line that was not read yet, or the
// environment, asks for JSON.
func WantsJSON(args []string) bool {
	on, err := strconv.ParseBool(os.Getenv("MULTIPUT_JSON"))
	on = on && err == nil
	asked := os.Getenv("MULTIPUT_JQ") != "" || os.Getenv("MULTIPUT_PROGRESS") == "json"
	for i, a := range args {
		if a == "--" {
			break
		}
		name, value, given := strings.Cut(a, "=")
		switch name {
		case "--json":
			on = true
			if given {
				on, err = strconv.ParseBool(value)
				on = on || err != nil
			}
		case "--jq":
			asked = true
		case "--progress":
			if !given && i+1 < len(args) {
				value = args[i+1]
			}
			asked = asked || value == "json"
		}
	}
	return on || asked
}

// BaseNames are the providers for which the config file has an address.
func (c Config) BaseNames() []string { return slices.Sorted(maps.Keys(c.base)) }

// Base is the address that replaces the one of a provider's manifest: from
// MULTIPUT_NAME_BASE_URL, the profile in use, or base-url.NAME of the config
// file. Empty: none.
func (c Config) Base(provider string) string {
	address, _ := c.BaseFrom(provider, true)
	return address
}

// BaseFrom is Base, and where it is from, as a Setting says it. The profile has
// an address only for the provider in use.
func (c Config) BaseFrom(provider string, inUse bool) (address, from string) {
	variable := Variable(provider + "-base-url")
	if s := os.Getenv(variable); s != "" {
		return s, "variable " + variable
	}
	if inUse && c.own.text != "" {
		return c.own.text, c.fromProfile()
	}
	if s := c.base[provider].text; s != "" {
		return s, c.File
	}
	return "", ""
}

// ProviderDir is where the user's manifests are. Empty: nowhere.
func ProviderDir() string {
	dir := userDir()
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "providers")
}

// StateDir is where multiput keeps what has to outlive it: the journal and the
// sandbox.
func StateDir() (string, error) {
	home, err := os.UserHomeDir()
	var dir string
	set := "HOME or XDG_STATE_HOME"
	switch {
	case runtime.GOOS == "windows":
		set = "LocalAppData"
		dir = os.Getenv(set)
	case runtime.GOOS == "darwin" && err == nil:
		dir = filepath.Join(home, "Library", "Application Support")
	default:
		if dir = os.Getenv("XDG_STATE_HOME"); !filepath.IsAbs(dir) && err == nil {
			dir = filepath.Join(home, ".local", "state")
		}
	}
	if dir == "" || !filepath.IsAbs(dir) {
		return "", &Error{Where: "state directory", Err: errors.New("there is no home directory: set " + set)}
	}
	return filepath.Join(dir, "multiput"), nil
}
