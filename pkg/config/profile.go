package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// level is how explicitly a habit is set.
type level int

const (
	byDefault level = iota
	byFile
	byProfile
	byVariable
	byFlag
)

// layers are the places where a habit may be set. viper lays them one over the
// other; file keeps what viper does not, such as lines.
type layers struct {
	v       *viper.Viper
	flags   *pflag.FlagSet
	file    *file
	name    string           // of the profile in use; empty: none
	profile map[string]value // its habits, as far as they count
}

// Profiles are the names of those in the config file; none if it cannot be read.
func Profiles(flags *pflag.FlagSet) []string {
	path, named, err := Path(flags)
	f := &file{path: path}
	if err != nil || f.read(viper.NewWithOptions(viper.WithDecoderRegistry(f)), named) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(f.profiles))
}

// Variable is the variable that stands for a habit.
func Variable(habit string) string {
	return "MULTIPUT_" + strings.ToUpper(strings.ReplaceAll(habit, "-", "_"))
}

func (l *layers) level(key string) level {
	f := l.flags.Lookup(key)
	_, inProfile := l.profile[key]
	_, inFile := l.file.top.habits[key]
	switch {
	case f != nil && f.Changed:
		return byFlag
	case os.Getenv(Variable(key)) != "":
		return byVariable
	case inProfile:
		return byProfile
	case inFile:
		return byFile
	}
	return byDefault
}

// wrong says where a habit is wrong.
func (l *layers) wrong(key string, err error) error {
	switch l.level(key) {
	case byFlag:
		return &UsageError{Err: fmt.Errorf("--%s: %w", key, err)}
	case byVariable:
		return &Error{Where: Variable(key), Err: err}
	case byProfile:
		return &Error{Where: l.file.at("profiles."+l.name+"."+key, l.profile[key].line), Err: err}
	}
	return &Error{Where: l.file.at(key, l.file.top.habits[key].line), Err: err}
}

// from says in words where a habit is set.
func (l *layers) from(c *Config, key string) string {
	switch l.level(key) {
	case byFlag:
		return "flag --" + key
	case byVariable:
		return "variable " + Variable(key)
	case byProfile:
		return c.fromProfile()
	case byFile:
		return c.File
	}
	return "default"
}

func (c Config) fromProfile() string { return "profile " + c.Profile + " in " + c.File }

// chosen is the profile that is asked for, and where.
func (l *layers) chosen() (name, where, from string) {
	if f := l.flags.Lookup("profile"); f != nil && f.Changed {
		return f.Value.String(), "--profile", "flag --profile"
	}
	if name = os.Getenv(Variable("profile")); name != "" {
		return name, Variable("profile"), "variable " + Variable("profile")
	}
	if l.file.profile.text != "" {
		return l.file.profile.text, l.file.at("profile", l.file.profile.line), l.file.path
	}
	return "", "", "default"
}

// useProfile lays the profile that is asked for over the top of the file. What
// is for its own provider only counts if that is the one to upload to: neither
// a key nor options go to another provider, nor anything to another's address.
func (l *layers) useProfile(c *Config) error {
	name, where, _ := l.chosen()
	if name == "" {
		return nil
	}
	p, ok := l.file.profiles[name]
	if !ok {
		return &Error{Where: where, Err: &UnknownError{What: "profile", Name: name, Known: slices.Sorted(maps.Keys(l.file.profiles))}}
	}
	c.Profile, l.name, l.profile = name, name, maps.Clone(p.habits)
	c.Set = map[string]string{}
	if to := p.habits["provider"].text; to != "" && l.level("provider") > byProfile && !sameProvider(to, l.v.GetString("provider")) {
		keys := bound(p)
		for _, key := range keys {
			delete(l.profile, key)
		}
		if len(keys) > 0 {
			c.Unused = append(c.Unused, fmt.Sprintf("%s is for %s; not used: %s", c.fromProfile(), to, strings.Join(keys, ", ")))
		}
	} else {
		c.own = p.base
		for key, val := range p.set {
			c.Set[key] = val.text
		}
	}
	over := map[string]any{}
	for key, val := range l.profile {
		over[key] = val.text
	}
	return l.v.MergeConfigMap(over)
}

// sameProvider reports whether two names or paths of manifests are the same.
func sameProvider(a, b string) bool {
	if a == b || !isPath(a) || !isPath(b) {
		return a == b
	}
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// keySource settles which of the two sources of a key counts: the one that was
// said more explicitly. One at the top of the file is for the provider that the
// top of the file names, if it names one.
func (l *layers) keySource(c *Config) {
	sources := []*string{&c.APIKeyFile, &c.APIKeyCommand}
	most := byDefault
	var unused []string
	for i, key := range keySources {
		at := l.level(key)
		to := l.file.top.habits["provider"].text
		if at == byFile && to != "" && !sameProvider(to, c.Provider) {
			*sources[i], at = "", byDefault
			unused = append(unused, fmt.Sprintf("%s is for %s; not used: %s", c.File, to, key))
		}
		most = max(most, at)
	}
	for i, key := range keySources {
		if l.level(key) < most {
			*sources[i] = ""
		}
	}
	if most == byDefault { // where another one counts, this one is not missed
		c.Unused = append(c.Unused, unused...)
	}
	if most == byFile || most == byProfile {
		c.keyDir = l.file.dir()
	}
}
