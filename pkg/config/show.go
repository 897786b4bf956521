package config

import (
	"fmt"
	"maps"
	"slices"
)

// Setting is one value, and where it is from: "flag --NAME", "variable NAME",
// "profile NAME in FILE", FILE or "default".
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// Settings are all values that Load found: the profile, the habits, and the
// options of the profile as set.NAME. A key is not among them, nor is the text of
// the command that gives one, since it may hold what it prints.
func (c Config) Settings() []Setting { return slices.Clone(c.settings) }

func (l *layers) show(c *Config) []Setting {
	_, _, from := l.chosen()
	all := []Setting{{"profile", c.Profile, from}}
	for _, key := range habits {
		s := Setting{key, l.v.GetString(key), l.from(c, key)}
		switch key {
		case "journal":
			s.Value = c.Journal
		case "cacert":
			s.Value = c.CACert
		case "provider":
			s.Value = c.Provider
		case "api-key-file":
			s.Value = c.APIKeyFile
		case "api-key-command":
			if s.Value = ""; c.APIKeyCommand != "" {
				s.Value = "(not shown)"
			}
		}
		if slices.Contains(keySources, key) && s.Value == "" {
			s.From = "default" // set, but another one counts, or it is for another provider
		}
		all = append(all, s)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		all = append(all, Setting{"set." + name, c.Set[name], c.fromProfile()})
	}
	return all
}

// SetPlace is where the profile sets an option of the provider.
func (c Config) SetPlace(option string) string {
	return fmt.Sprintf("%s: profiles.%s.set.%s", c.File, c.Profile, option)
}
