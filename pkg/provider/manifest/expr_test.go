package manifest

import (
	"context"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/exact"
)

func mustExpr(t testing.TB, src string) *expr {
	t.Helper()
	code, err := compile(src)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return &expr{key: "test", code: code}
}

func TestExprWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"def f: f; f", "[range(1e12)]"} {
		// Which of the two bounds comes first is the machine's.
		if _, err := mustExpr(t, src).one(t.Context(), nil, &scope{}); !errors.Is(err, errSteps) && !errors.Is(err, errEndless) {
			t.Errorf("%s: %v", src, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := mustExpr(t, "1 + 1").one(ctx, nil, &scope{}); v != 2 || err != nil {
		t.Errorf("what had come before the context ended was not read: %v, %v", v, err)
	}
}

func TestExprSeesNothing(t *testing.T) {
	t.Setenv("ACME_KEY", "secret")
	for _, src := range []string{"$ENV", "env", "[$ENV.ACME_KEY, env.ACME_KEY] | map(select(.))"} {
		v, err := mustExpr(t, src).one(t.Context(), nil, &scope{})
		if s := show(v); err != nil || s != "{}" && s != "[]" {
			t.Errorf("%s: %s, %v", src, s, err)
		}
	}
	for _, src := range []string{
		"input", "inputs", "debug", "stderr", "input_filename", "get_search_list", `import "a" as a; 1`, `include "a"; 1`,
		"$__prog_args", "nosuch", "$nosuch",
	} {
		if _, err := compile(src); err == nil {
			t.Errorf("%s compiles", src)
		}
	}
}

func TestExprFailures(t *testing.T) {
	for src, want := range map[string]string{
		"empty": "yields nothing", "1, 2": "more than one value", `error("x")`: "x", "halt": "halt", `"x" | halt_error`: "halt",
		".a.b": "expected an object", `"x" * 1e10`: "too large", "label $l | break $l": "yields nothing",
		".[99999999999] = 1": "array", `"a" | test("(")`: "regular expression", "[.[]]": "iterate", "1 / 0": "divide", "ltrimstr(1)": "ltrimstr",
		"implode": "implode", "error(null)": "null", "limit(-1; 1)": "negative", "tojson | fromjson | .[1:2] | .x": "expected an object",
	} {
		in := any("text")
		if v, err := mustExpr(t, src).one(t.Context(), in, &scope{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", src, v, err, want)
		}
	}
}

// TestExprTypes feeds every kind of value to every builtin that takes no
// argument: none of them may panic.
func TestExprTypes(t *testing.T) {
	t.Parallel()
	names, err := mustExpr(t, `[builtins[] | select(endswith("/0"))[:-2]] - ["repeat", "recurse", "halt", "now"]`).one(t.Context(), nil, &scope{})
	if err != nil {
		t.Fatal(err)
	}
	huge, _ := new(big.Int).SetString(strings.Repeat("9", 80), 10)
	values := []any{nil, true, 1, -1, 1.5, 1e308, huge, "", "text", "\xff", []any{}, []any{1, "a", nil}, map[string]any{}, map[string]any{"a": huge}}
	for _, name := range names.([]any) {
		code, err := compile(name.(string))
		if err != nil {
			continue // such as input: refused before it can run
		}
		for _, v := range values {
			_, err := (&expr{code: code}).list(t.Context(), v, &scope{})
			if err != nil && strings.Contains(err.Error(), "jq failed") {
				t.Errorf("%s of %s: %v", name, show(v), err)
			}
		}
	}
}

func TestNumbersAreExact(t *testing.T) {
	for _, s := range []string{
		"0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808", "18446744073709551617",
		strings.Repeat("7", 99), "0.5", "1.5e3", "[9007199254740993]", `{"a":9007199254740993}`,
	} {
		v, err := exact.Decode([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		v, err = mustExpr(t, ".").one(t.Context(), v, &scope{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(s, "1.5e3", "1500", 1); string(b) != want {
			t.Errorf("%s became %s", s, b)
		}
	}
	if v, err := mustExpr(t, "$file.size + 2").one(t.Context(), nil, &scope{file: map[string]any{"size": fromInt64(9007199254740993)}}); err != nil || v != 9007199254740995 {
		t.Errorf("9007199254740993 + 2 is %v, %v", v, err)
	}
	if v, ok := exact.Number(strings.Repeat("9", 1<<20)).(float64); !ok || !math.IsInf(v, 1) {
		t.Errorf("a number of 1 MiB became %v", v)
	}
	for s, want := range map[string]bool{"1": true, "1.0": true, "1e3": true, "9007199254740993.0": false, "1.5": false, "99999999999999999999": false, `"1"`: false, "null": false} {
		v, err := exact.Decode([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := toInt64(v); ok != want {
			t.Errorf("%s as a whole number: %v", s, ok)
		}
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 1, 11, 0, 0, 0, time.UTC)
	for _, s := range []string{
		"1793530800", "1793530800.25", "1793530800000", `"1793530800"`, `"1793530800000"`, `"2026-11-01T11:00:00Z"`, `"2026-11-01T12:00:00+01:00"`, `"2026-11-01T11:00:00.000Z"`,
	} {
		v, err := exact.Decode([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := toTime(v); err != nil || !got.Equal(at) {
			t.Errorf("%s is %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"null", `""`} {
		v, _ := exact.Decode([]byte(s))
		if got, err := toTime(v); err != nil || !got.IsZero() {
			t.Errorf("%s is %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "-5", "1e300", `"soon"`, "true", "[]", `"01.11.2026"`, "999999999999999999"} {
		v, _ := exact.Decode([]byte(s))
		if got, err := toTime(v); err == nil {
			t.Errorf("%s is %s", s, got)
		}
	}
}
