package manifest

import (
	"fmt"
	"strings"
)

// Error is what is wrong with a manifest.
type Error struct {
	File     string
	Problems []Problem // by line; at least one
}

// Problem is one thing that is wrong with a manifest.
type Problem struct {
	Line   int    // 0: the file as a whole
	Column int    // 0: the line as a whole
	Key    string // such as create.body; may be empty
	Text   string
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = e.File
		if p.Line > 0 {
			lines[i] += fmt.Sprintf(":%d", p.Line)
		}
		if p.Line > 0 && p.Column > 0 {
			lines[i] += fmt.Sprintf(":%d", p.Column)
		}
		if p.Key != "" {
			lines[i] += ": " + p.Key
		}
		lines[i] += ": " + p.Text
	}
	return strings.Join(lines, "\n")
}

// OptionError is what is wrong with an option that the user set, or did not.
type OptionError struct {
	Provider string   // its title
	Option   string   // the option's name as it was given
	Reason   string   // what is wrong with it
	Known    []Option // the options that there are
}

func (e *OptionError) Error() string {
	names := make([]string, len(e.Known))
	for i, o := range e.Known {
		names[i] = o.Name
	}
	list := "it has no options"
	if len(names) > 0 {
		list = "its options: " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s: option %s: %s (%s)", e.Provider, e.Option, e.Reason, list)
}
