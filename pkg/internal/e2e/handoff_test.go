package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// planArgs are what each API needs to plan an upload of parts of 64 KiB.
var planArgs = map[string][]string{
	"archetype": nil, "fileai": nil, "upscayl": nil,
	"openai": {"--set", "purpose=batch", "--part-size", "64KiB"},
}

// chain is one upload by plan, put and complete.
type chain struct {
	*rig
	file, plan string
	args       []string // of plan
	sender     []string // the environment of put, where it differs
	same       func(*testing.T)
}

func newChain(t *testing.T, api string) *chain {
	t.Helper()
	r := newRig(t, api, 64<<10)
	file := r.file(t, killSize)
	return &chain{
		rig: r, file: file, plan: filepath.Join(r.dir, "big.plan"), args: append([]string{"-p", api}, planArgs[api]...),
		same: func(t *testing.T) { t.Helper(); r.cmpObject(t, file) },
	}
}

// run runs a step, killed at a journal write if at says so, until it succeeds. It
// reports whether the kill came.
func (c *chain) run(t *testing.T, at string, args ...string) (killed bool) {
	t.Helper()
	var env []string
	if args[0] == "put" {
		env = c.sender
	}
	if at != "" {
		switch _, code := c.multiput(t, append([]string{killEnv + "=" + at}, env...), args...); code {
		case 0:
			return false
		case -1:
		default:
			t.Fatalf("%s at %s: exit code %d, want to be killed", args[0], at, code)
		}
	}
	if _, code := c.multiput(t, env, args...); code != 0 {
		t.Fatalf("%s: exit code %d (killed before at %q)", args[0], code, at)
	}
	return at != ""
}

func (c *chain) planned(t *testing.T, at string) bool {
	t.Helper()
	return c.run(t, at, append([]string{"plan", c.file, "-o", c.plan}, c.args...)...)
}

func (c *chain) receipts(name string) string { return filepath.Join(c.dir, name+".receipts") }

// TestKillHandoff kills plan, put and complete at every write to the journal, and
// runs the same command again: the object is the file, and there is one.
func TestKillHandoff(t *testing.T) {
	t.Parallel()
	for api := range planArgs {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			killHandoff(t, func(t *testing.T) *chain { t.Helper(); return newChain(t, api) })
		})
	}
}

func killHandoff(t *testing.T, begin func(*testing.T) *chain) {
	t.Helper()
	for place, step := range []string{"plan", "put", "complete"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			killed := 0
			for n := 1; ; n++ {
				came := false
				for _, after := range []string{"", "+"} {
					at := [3]string{}
					at[place] = fmt.Sprintf("write=%d%s", n, after)
					c := begin(t)
					first := c.planned(t, at[0])
					out := c.receipts("all")
					second := c.run(t, at[1], "put", c.plan, c.file, "-j", "3", "-o", out)
					third := c.run(t, at[2], "complete", c.plan, out)
					came = came || first || second || third
					c.same(t)
				}
				if !came {
					break
				}
				killed++
				if testing.Short() && killed == 2 {
					break
				}
			}
			if killed == 0 {
				t.Error("there was no write to be killed at")
			}
		})
	}
}

// TestAnyPartition shares an upload in any number of shards, in any order, kills
// some and loses the receipts of some: the object is the file.
func TestAnyPartition(t *testing.T) {
	t.Parallel()
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for api := range planArgs {
		for round := range rounds {
			t.Run(fmt.Sprintf("%s/%d", api, round), func(t *testing.T) {
				t.Parallel()
				c := newChain(t, api)
				c.planned(t, "")
				anyPartition(t, c, rand.New(rand.NewPCG(uint64(round), uint64(len(api)))))
			})
		}
	}
}

func anyPartition(t *testing.T, c *chain, r *rand.Rand) {
	t.Helper()
	of := 1 + r.IntN(7)
	done := []string{"complete", c.plan}
	for _, i := range r.Perm(of) {
		shard, at := fmt.Sprintf("%d/%d", i+1, of), ""
		if r.IntN(2) == 0 {
			at = fmt.Sprintf("receipt=%d+", 1+r.IntN(2))
		}
		out := c.receipts(fmt.Sprint(i))
		put := []string{"put", c.plan, c.file, "--shard", shard, "-o", out}
		c.run(t, at, put...)
		first, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if r.IntN(3) == 0 {
			if err := os.Remove(out); err != nil {
				t.Fatal(err)
			}
			c.run(t, "", put...)
			if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, first) {
				t.Errorf("shard %s has other receipts the second time (%v):\n%s\n%s", shard, err, first, again)
			}
		}
		// The last shards may have no part: it is complete before them.
		done = append(done, out)
		switch _, code := c.multiput(t, nil, done...); {
		case code == 0:
			c.same(t)
			return
		case code != exitAgain:
			t.Fatalf("with %d of %d shards: exit code %d, want %d", len(done)-2, of, code, exitAgain)
		}
	}
	t.Error("with all shards it is not complete")
}

// TestPlanSchema checks plans and receipts against docs/schema.
func TestPlanSchema(t *testing.T) {
	t.Parallel()
	known := schemas(t)
	for api := range planArgs {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			c := newChain(t, api)
			c.run(t, "", append([]string{"plan", c.file, "-o", c.plan, "--part-checksums"}, c.args...)...)
			out := c.receipts("all")
			c.run(t, "", "put", c.plan, c.file, "-o", out)
			for path, s := range map[string]*jsonschema.Schema{c.plan: known["plan.json"], out: known["receipt.json"]} {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if found := valid(t, s, string(b)); len(found) == 0 {
					t.Errorf("%s is empty", path)
				}
			}
			var plan struct {
				Parts []struct{ CRC32C, URL string }
			}
			b, err := os.ReadFile(c.plan)
			if err == nil {
				err = json.Unmarshal(b, &plan)
			}
			if err != nil || len(plan.Parts) != 5 || plan.Parts[4].CRC32C == "" || (plan.Parts[0].URL == "") != (api == "openai") {
				t.Errorf("%v: the plan has %+v", err, plan)
			}
			if bytes.Contains(b, []byte(c.server.Key)) {
				t.Error("the key is in the plan")
			}
		})
	}
}

// TestHandoffSandbox shares an upload to the sandbox, whose address is another in
// each process.
func TestHandoffSandbox(t *testing.T) {
	t.Parallel()
	c := newChain(t, "archetype")
	c.args = []string{"-p", "sandbox"}
	c.planned(t, "")
	c.run(t, "", "put", c.plan, c.file, "--shard", "2/2", "-o", c.receipts("2"))
	c.run(t, "", "put", c.plan, c.file, "--shard", "1/2", "-o", c.receipts("1"))
	out, code := c.multiput(t, nil, "complete", c.plan, c.receipts("1"), c.receipts("2"))
	if code != 0 {
		t.Fatalf("complete: exit code %d", code)
	}
	got, err := os.ReadFile(string(bytes.TrimSpace([]byte(out))))
	want, err2 := os.ReadFile(c.file)
	if err != nil || err2 != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, the file %d (%v, %v)", len(got), len(want), err, err2)
	}
}
