// Package config turns flags, environment and the user's file into one struct,
// in that order of precedence.
//
// It is the only place that reads the environment. It reads no file from the
// working directory: a cloned repository must not redirect a key. It knows no
// flag that takes a secret.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Config is everything that habit decides.
type Config struct {
	Provider      string
	Concurrency   int   // parts at once; 0: auto
	PartSize      int64 // bytes; 0: whatever suits
	LimitRate     int64 // bytes per second; 0: none
	Retries       int
	StallTimeout  time.Duration
	Checksum      string // auto, require or off
	Progress      string // auto, bar, plain, json or none
	ContentType   string
	JSON          bool
	JQ            string
	Quiet         bool
	Verbose       bool
	Journal       string // path
	CACert        string // path; empty: the system's
	APIKeyFile    string
	APIKeyCommand string

	base map[string]string // by provider
}

// Error is something wrong in the config file or in a variable.
type Error struct {
	Where string // the file or the variable
	Err   error
}

func (e *Error) Error() string { return e.Where + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// UsageError is a flag whose value cannot be meant.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// habits are the flags that a config key and a MULTIPUT_ variable stand for
// too. Those that describe one run are not among them.
var habits = []string{
	"provider", "concurrency", "part-size", "limit-rate", "retries", "stall-timeout",
	"checksum", "progress", "content-type", "json", "jq", "quiet", "verbose", "journal", "cacert",
	"api-key-file", "api-key-command",
}

// Flags adds the flags of upload that are habits, with their defaults.
func Flags(f *pflag.FlagSet) {
	f.StringP("provider", "p", "", "where to: a provider's `NAME` or a manifest FILE.yaml")
	f.StringP("concurrency", "j", "auto", "parts sent at once, or auto")
	f.String("part-size", "", "`SIZE` of a part, where the provider lets us choose (8MiB, 1.5GB, 500k)")
	f.String("limit-rate", "", "send at most `SIZE` per second")
	f.Int("retries", 10, "how often an operation is tried again")
	f.Duration("stall-timeout", 60*time.Second, "send a part again when no byte of it moved for so long; 0 never")
	f.String("checksum", "auto", "auto, require (fail where nothing can be verified) or off")
	f.String("progress", "auto", "auto, bar, plain, json or none")
	f.String("content-type", "", "media `TYPE` of the file instead of the one detected")
	f.String("cacert", "", "trust the certificates in this PEM `FILE` too")
	f.String("api-key-file", "", "read the API key from `FILE`")
	f.String("api-key-command", "", "take the API key from what `COMMAND` prints")
}

// GlobalFlags adds the flags of every command that are habits, and --config.
func GlobalFlags(f *pflag.FlagSet) {
	f.String("journal", "", "`PATH` of the journal (default: in the user's state directory)")
	f.String("config", "", "`PATH` of the config file (default: in the user's config directory)")
	f.Bool("json", false, "print one JSON object per file on stdout")
	f.String("jq", "", "print what `EXPR` selects from the JSON object")
	f.BoolP("quiet", "q", false, "say nothing but errors")
	f.BoolP("verbose", "v", false, "say what is done and why")
}

// Load reads the config file that --config or MULTIPUT_CONFIG names, or the
// user's own if there is one, and puts variables and flags above it. What is
// wrong is an *Error or, in a flag, a *UsageError.
func Load(flags *pflag.FlagSet) (Config, error) {
	v := viper.New()
	if err := notEmpty(flags); err != nil {
		return Config{}, err
	}
	path, named := os.Getenv("MULTIPUT_CONFIG"), true
	if f := flags.Lookup("config"); f != nil && f.Changed {
		path = f.Value.String()
	}
	if path == "" {
		dir, err := os.UserConfigDir()
		if err == nil {
			path, named = filepath.Join(dir, "multiput", "config.yaml"), false
		}
	}
	if path != "" {
		if err := read(v, path, named); err != nil {
			return Config{}, &Error{Where: path, Err: err}
		}
	}
	if v.IsSet("base-url") && len(v.GetStringMapString("base-url")) == 0 {
		return Config{}, &Error{Where: path, Err: errors.New("base-url needs a provider below it, such as base-url: {openai: URL}")}
	}
	base := v.GetStringMapString("base-url")
	v.SetEnvPrefix("MULTIPUT")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	for _, key := range habits {
		if err := v.BindEnv(key); err != nil {
			return Config{}, err
		}
		if f := flags.Lookup(key); f != nil {
			if err := v.BindPFlag(key, f); err != nil {
				return Config{}, err
			}
		}
	}
	return decode(v, flags, path, base)
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

func read(v *viper.Viper, path string, named bool) error {
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	err := v.ReadInConfig()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file")
	case err != nil:
		return err
	}
	for _, key := range v.AllKeys() {
		top, _, nested := strings.Cut(key, ".")
		if !slices.Contains(habits, key) && key != "base-url" && !(nested && top == "base-url") {
			return fmt.Errorf("unknown key %q (known: %s, base-url)", key, strings.Join(habits, ", "))
		}
	}
	for _, key := range habits {
		if !v.InConfig(key) {
			continue
		}
		switch v.Get(key).(type) {
		case nil, string, bool, int, int64, uint64, float64:
		default:
			return fmt.Errorf("%s is a list or has keys below it, and should be one value", key)
		}
	}
	return nil
}

func decode(v *viper.Viper, flags *pflag.FlagSet, path string, base map[string]string) (Config, error) {
	c := Config{
		Provider: v.GetString("provider"), Checksum: v.GetString("checksum"), Progress: v.GetString("progress"),
		ContentType: v.GetString("content-type"), JQ: v.GetString("jq"), Journal: v.GetString("journal"),
		CACert: v.GetString("cacert"), APIKeyFile: v.GetString("api-key-file"), APIKeyCommand: v.GetString("api-key-command"),
		base: base,
	}
	var first error
	check := func(key string, err error) {
		if err == nil || first != nil {
			return
		}
		variable := "MULTIPUT_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		f := flags.Lookup(key)
		switch {
		case f != nil && f.Changed:
			first = &UsageError{Err: fmt.Errorf("--%s: %w", key, err)}
		case os.Getenv(variable) != "":
			first = &Error{Where: variable, Err: err}
		default:
			first = &Error{Where: path + ": " + key, Err: err}
		}
	}
	boolean := func(key string) bool {
		b, err := strconv.ParseBool(orFalse(v.GetString(key)))
		check(key, plainNumber(err))
		return b
	}
	size := func(key string) int64 {
		n, err := ParseSize(v.GetString(key))
		check(key, err)
		return n
	}
	c.JSON, c.Quiet, c.Verbose = boolean("json"), boolean("quiet"), boolean("verbose")
	c.PartSize, c.LimitRate = size("part-size"), size("limit-rate")

	if s := v.GetString("concurrency"); s != "auto" && s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1000 {
			err = fmt.Errorf("%q is neither auto nor a number from 1 to 1000", s)
		}
		check("concurrency", err)
		c.Concurrency = n
	}
	if s := v.GetString("retries"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			err = fmt.Errorf("%q is no number of retries", s)
		}
		check("retries", err)
		c.Retries = n
	}
	if s := v.GetString("stall-timeout"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			err = fmt.Errorf("%q is no duration (such as 90s)", s)
		}
		check("stall-timeout", err)
		c.StallTimeout = d
	}
	check("checksum", oneOf(c.Checksum, "auto", "require", "off"))
	check("progress", oneOf(c.Progress, "auto", "bar", "plain", "json", "none"))
	if first != nil {
		return Config{}, first
	}
	// Of two sources of a key, the one that was said more explicitly counts.
	if level(flags, "api-key-file") > level(flags, "api-key-command") {
		c.APIKeyCommand = ""
	} else if level(flags, "api-key-file") < level(flags, "api-key-command") {
		c.APIKeyFile = ""
	}
	if c.Journal == "" {
		dir, err := StateDir()
		if err != nil {
			return Config{}, err
		}
		c.Journal = filepath.Join(dir, "journal.db")
	}
	return c, nil
}

// level is how explicitly a key is set: by a flag, a variable, or less.
func level(flags *pflag.FlagSet, key string) int {
	switch f := flags.Lookup(key); {
	case f != nil && f.Changed:
		return 2
	case os.Getenv("MULTIPUT_"+strings.ToUpper(strings.ReplaceAll(key, "-", "_"))) != "":
		return 1
	}
	return 0
}

func orFalse(s string) string {
	if s == "" {
		return "false"
	}
	return s
}

func plainNumber(err error) error {
	if err != nil {
		return errors.New("neither true nor false")
	}
	return nil
}

func oneOf(s string, values ...string) error {
	if s == "" || slices.Contains(values, s) {
		return nil
	}
	return fmt.Errorf("%q is none of %s", s, strings.Join(values, ", "))
}

// ParseSize reads 8MiB, 1.5GB, 500k or plain bytes. Empty is 0.
func ParseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("%q is no size (such as 8MiB, 1.5GB, 500k)", s)
	}
	return int64(n), nil
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
// MULTIPUT_NAME_BASE_URL, or base-url.NAME of the config file. Empty: none.
func (c Config) Base(provider string) string {
	variable := "MULTIPUT_" + strings.ToUpper(strings.ReplaceAll(provider, "-", "_")) + "_BASE_URL"
	if s := os.Getenv(variable); s != "" {
		return s
	}
	return c.base[strings.ToLower(provider)]
}

// ProviderDir is where the user's manifests are. Empty: nowhere.
func ProviderDir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "multiput", "providers")
}

// StateDir is where multiput keeps what has to outlive it: the journal and the
// sandbox.
func StateDir() (string, error) {
	home, err := os.UserHomeDir()
	var dir string
	switch {
	case runtime.GOOS == "windows":
		dir = os.Getenv("LocalAppData")
	case runtime.GOOS == "darwin" && err == nil:
		dir = filepath.Join(home, "Library", "Application Support")
	default:
		if dir = os.Getenv("XDG_STATE_HOME"); !filepath.IsAbs(dir) && err == nil {
			dir = filepath.Join(home, ".local", "state")
		}
	}
	if dir == "" || !filepath.IsAbs(dir) {
		return "", &Error{Where: "state directory", Err: errors.New("there is no home directory; name a journal with --journal or MULTIPUT_JOURNAL")}
	}
	return filepath.Join(dir, "multiput"), nil
}
