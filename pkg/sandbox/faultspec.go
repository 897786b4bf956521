package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
)

func parseFault(spec string) (*fault, error) {
	f := &fault{spec: spec, part: -1, times: 1, header: http.Header{}}
	where, what, ok := strings.Cut(spec, ":")
	if !ok {
		return nil, errors.New("no ':' between where and what: it is STEP[@part=N][@after=K][@times=N|all]:KIND[=ARG]")
	}
	conditions := strings.Split(where, "@")
	f.step = conditions[0]
	if !slices.Contains(steps, f.step) {
		return nil, fmt.Errorf("no such step %q: the steps are %s", f.step, strings.Join(steps, ", "))
	}
	seen := map[string]bool{}
	for _, c := range conditions[1:] {
		key, value, _ := strings.Cut(c, "=")
		if seen[key] {
			return nil, fmt.Errorf("@%s is given twice", key)
		}
		seen[key] = true
		n, err := strconv.Atoi(value)
		if err == nil && n < 0 {
			err = strconv.ErrRange
		}
		switch key {
		case "part":
			f.part = n
			if f.step != StepPut {
				return nil, fmt.Errorf("@part is for put, not for %s", f.step)
			}
		case "after":
			f.after = n
		case "times":
			f.times = n
			switch {
			case value == "all":
				f.times, err = -1, nil
			case n == 0:
				err = strconv.ErrRange
			}
		default:
			return nil, fmt.Errorf("no such condition @%s: they are @part=N, @after=K and @times=N", key)
		}
		if err != nil {
			return nil, fmt.Errorf("@%s=%s is not a count", key, value)
		}
	}
	kind, arg, given := strings.Cut(what, "=")
	k, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("no such kind %q: the kinds are %s", kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	f.kind = kind
	if !slices.Contains(k.steps, f.step) {
		return nil, fmt.Errorf("%s happens at %s, not at %s", kind, strings.Join(k.steps, ", "), f.step)
	}
	if err := k.arg(f, arg, given); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return f, nil
}

func argNone(_ *fault, _ string, given bool) error {
	if given {
		return errors.New("it takes no argument")
	}
	return nil
}

func argBytes(f *fault, arg string, given bool) (err error) {
	f.bytes = 0
	if f.kind == kindStall {
		f.bytes = math.MaxInt64
	}
	if given {
		f.bytes, err = text.ParseSize(arg, text.Decimal)
	}
	return err
}

func argRate(f *fault, arg string, _ bool) (err error) {
	if f.bytes, err = text.ParseSize(arg, text.Decimal); err == nil && f.bytes == 0 {
		err = errors.New("a rate is bytes a second, such as 100k, and above 0")
	}
	return err
}

func argExpire(f *fault, arg string, given bool) error {
	f.how = "s3"
	if given {
		f.how = arg
	}
	if f.how != "s3" && f.how != "token" && f.how != "azure" {
		return fmt.Errorf("no such store %q: s3, token or azure", arg)
	}
	return nil
}

func argPID(f *fault, arg string, given bool) (err error) {
	if !given {
		return nil
	}
	if f.pid, err = strconv.Atoi(arg); err != nil || f.pid <= 1 {
		return fmt.Errorf("%q is not a process id", arg)
	}
	return nil
}

func argHTML(f *fault, arg string, given bool) (err error) {
	f.status = http.StatusOK
	if given {
		f.status, err = parseStatus(arg)
	}
	return err
}

func argStatus(f *fault, arg string, _ bool) (err error) {
	code, rest, more := strings.Cut(arg, ",")
	if f.status, err = parseStatus(code); err != nil {
		return err
	}
	f.message = "a fault that was asked for"
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(field, "=")
		switch {
		case !ok || name == "":
			return fmt.Errorf("%q is not NAME=VALUE", field)
		case name == "code":
			f.code = value
		case name == "message":
			f.message = value
		default:
			f.header.Set(name, value)
		}
	}
	return nil
}

func argRedirect(f *fault, arg string, _ bool) (err error) {
	f.status = http.StatusTemporaryRedirect
	if code, rest, ok := strings.Cut(arg, ","); ok && len(code) == 3 {
		if f.status, err = parseStatus(code); err != nil {
			return err
		}
		arg = rest
	}
	if f.status < 300 || f.status > 399 {
		return fmt.Errorf("%d is not a redirect", f.status)
	}
	u, err := url.Parse(arg)
	if err != nil || arg == "" {
		return fmt.Errorf("%q is not a URL", arg)
	}
	f.url = u.String()
	return nil
}

func argPatch(f *fault, arg string, _ bool) error {
	if err := json.Unmarshal([]byte(arg), &f.patch); err != nil {
		return fmt.Errorf("the patch is not JSON: %w", err)
	}
	if _, ok := f.patch.(map[string]any); !ok {
		return errors.New("the patch is not a JSON object")
	}
	return nil
}

func parseStatus(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 200 || n > 599 {
		return 0, fmt.Errorf("%q is not a status of a reply: 200 to 599", s)
	}
	return n, nil
}

// merge applies a JSON merge patch (RFC 7396).
func merge(to, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	m, ok := to.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = merge(m[k], v)
		}
	}
	return m
}
