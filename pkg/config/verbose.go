package config

import (
	"fmt"
	"strconv"
)

// How much Config.Verbose asks for.
const (
	Decisions = 1 // -v: what is done and why
	Requests  = 2 // -vv: every request and its answer too, redacted
)

// verbosity is the value of -v, which counts: -v is 1, -vv is 2.
type verbosity int

// once is what a -v without a value stands for.
const once = "+1"

func (v *verbosity) Set(s string) error {
	if s == once {
		*v = min(*v+1, Requests)
		return nil
	}
	n, err := parseVerbose(s)
	*v = verbosity(n)
	return err
}

func (v *verbosity) String() string { return strconv.Itoa(int(*v)) }

// Type is what pflag's own counting flags call themselves.
func (v *verbosity) Type() string { return "count" }

// parseVerbose reads what a variable or the config file says: a number, or
// true and false. Empty is 0.
func parseVerbose(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return min(n, Requests), nil
	}
	switch on, err := strconv.ParseBool(s); {
	case err != nil:
		return 0, fmt.Errorf("%q is neither 0, 1, 2, true nor false", s)
	case on:
		return Decisions, nil
	}
	return 0, nil
}
