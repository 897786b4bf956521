package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// phrase is a regular expression of what is not to be written, and what is instead.
type phrase struct{ phrase, write string }

// ownDialect are phrases that stand for a term of the field, each with what to
// write instead. White space stands for any.
var ownDialect = []phrase{
	{`grants?\b|leave to (send|upload)|ask(s|ed|ing)? for leave|has (none|leave) that holds`, "presign, presigned URL"},
	{`(the )?address(es)? of (a |the )?parts?\b`, "presigned URL"},
	{`so that (of )?every part has to be`, "every part is checked"},
	{`crawl(s|ed|ing)?\b|is under way for`, "straggler"},
	{`(is )?of no use\b|cost(s)? somebody|helps nobody|to wait for it`, "say what happens"},
	{`can(not|'t) be read as a file|is no regular file|which multiput cannot upload`, "is a directory, no such file"},
	{`nothing waits for its end`, "so that uploading starts before its end"},
	{`giv(e|es|en|ing) (\S+ ){0,2}up\b|gave (\S+ ){0,2}up\b`, "abort, stop"},
	{`(go|goes|going|gone|went) on with`, "resume, continue"},
	{`all talk\b|talk (is|goes) (on|to)|what is said|of multiput's own`, "messages, Output, Configuration"},
	{`sound;|come out as they say`, "valid; 6 samples passed"},
	{`belongs here`, "expected a mapping, found"},
	{`: which\?`, "exclude each other"},
	{`are no checksums|takes none of the file`, "returns no part checksums"},
	{`no clear answer came`, "got no clear answer"},
	{`unseal(s|ed)?\b|seal(s|ed)?\b|judg(e|es|ed|ing)\b|verdicts?\b|condemn(s|ed)?\b|spoil(s|ed|t)?\b|(dis)trust(s|ed)\b|distrust\b`, "verify, mismatch, reject, corrupt, recheck"},
	{`fl(y|ies|ew|own|ying)\b|landed\b|courtesy|frugal(ly)?\b`, "attempt, in flight, plain words"},
	{`(tr(y|ied|ies)|trying) (it |them |this |that )?again\b`, "retry"},
	{`chunks?\b|segments?\b`, "part"},
	{`leave (is|that|for|to|of)\b|(no|of|with|has|have|gives|more|whose|its) leave\b`, "presigned URL"},
	{`(?-i:[Nn]obody)|no one|somebody|someone|anybody|whoever|whosoever`, "say who: the provider, another process, the user"},
	{`(there )?(is|are|was) no (url|file|size|number|duration|json|word|address|mapping|integer|manifest|option|directory)\b`, "is not a"},
	{`that there is not\b`, "unknown"},
	{`anew\b|heed(s|ed)?\b|for ever\b|mended\b|(is|are|was|were) told of\b`, "again, start over, respect, forever, repaired, reported"},
}

// forUsers are more of them, for the strings of the program and the pages: comments
// may say them.
var forUsers = []phrase{
	{`address(es)?\b`, "URL"},
	{`begun\b`, "started"},
}

// inOthersWords are those that an API or a standard has, in its own words.
var inOthersWords = regexp.MustCompile(`(?i)IP address|^--address$|network address|same address|address type|address of a (host|proxy)|(last )?segments? of (the|a|its) path|segments? of the URL|one segment|separate segments|as a segment|address to listen on|\bchunks?[=:]|"segment |\bsegment \d|\bAprimo segments|"try again|"try again later"|Please try again`)

// rejected and rejectedForUsers are regular expressions of the phrases, each with what
// to write instead.
var rejected, rejectedForUsers = compiled(ownDialect), compiled(append(forUsers, ownDialect...))

func compiled(phrases []phrase) map[*regexp.Regexp]string {
	all := map[*regexp.Regexp]string{}
	for _, d := range phrases {
		all[regexp.MustCompile(`(?i)\b(`+d.phrase+`)`)] = d.write
	}
	return all
}

// oldNames are names of the manifest language that are errors now: each says the
// new one.
var oldNames = regexp.MustCompile(`^(\w+\.)*grants?(\.\w+)?$|^\$grants?$|^(\w+\.)*grant_life$`)

// dialectNames are words that no name in the code has; inNames are those of a name.
var (
	dialectNames = regexp.MustCompile(`(?i)^(grant|chunk|segment|leave|verdict|judge|seal|unseal|condemn|distrust|frugal|courtesy|crawl|spoil)(s|ed|ing)?$`)
	inNames      = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)
)

// title is a text of a test that is prose.
var title = regexp.MustCompile(`^[\w,;%'" -]+( [\w,;%'":-]+)+(: %\w.*)?$`)

var (
	commented = regexp.MustCompile(`\n[ \t]*#+ `)
	renamed   = regexp.MustCompile(`\S+:? is called \S+ now`)
	noted     = regexp.MustCompile(`(?m)^#.*(\n#.*)*`)
	brought   = regexp.MustCompile(`(?m)^\S.* -> .*$`)
)

// wordsIn are the rejected phrases in a text.
func wordsIn(text string, rejected map[*regexp.Regexp]string) (found []string) {
	text = renamed.ReplaceAllString(commented.ReplaceAllString(text, "\n"), "")
	text = inOthersWords.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
	for phrase, write := range rejected {
		for _, m := range phrase.FindAllString(text, -1) {
			if !strings.HasPrefix(strings.ToLower(m), "there ") { // there is no file: plain English
				found = append(found, strconv.Quote(m)+" (write: "+write+")")
			}
		}
	}
	return found
}

// What the house style rejects is found, wherever it stands.
func TestPlainWordsAreChecked(t *testing.T) {
	for _, text := range []string{
		"Grant is leave to send one part until a moment.", "asking for leave to send parts 3, 4, as part 3 has none that holds",
		"an ETag is the MD5 of its part, so that of every part has to be", "part 7 crawls: it is under way for 40s", "of no use, and it may cost somebody something",
		"Perhaps there is nothing at that address: to wait for it helps nobody.", "x: cannot be read as a file: no such file or directory",
		". is a directory, which multiput cannot upload (only regular files)", "where that is uploaded (-): nothing waits for its end then",
		"Give uploads up, at the provider and here", "Go on with uploads that are not finished", "All talk is on stderr", "What is said", "Files of multiput's own",
		"sound; 6 samples come out as they say", "is hello (str); a mapping belongs here", "an API key file and an API key command: which?",
		"the provider's receipts are no checksums of the parts, and it takes none of the file", "complete was sent, and no clear answer came",
		"sealed", "unseal", "judge", "verdict", "condemn", "spoiled", "distrust", "fly", "landed", "courtesy", "frugal", "giving it\nup", "X is no URL", "the address of a part", "going on with the upload", "part 3 is tried again", "unsealed", "distrusted",
		"chunk 3", "each segment", "try again", "tries it again", "Leave is asked for", "a part that has leave", "leave for all parts",
	} {
		if wordsIn("before: "+text+"; after", rejected) == nil {
			t.Errorf("not found: %s", text)
		}
	}
	for _, text := range []string{"the address is not a URL", "it was begun"} {
		if wordsIn(text, rejectedForUsers) == nil {
			t.Errorf("not found for users: %s", text)
		}
	}
	for _, text := range []string{"the last segment of the path", "an IP address"} {
		if found := wordsIn(text, rejectedForUsers); found != nil {
			t.Errorf("%s: found %s", text, found)
		}
	}
}

// No text has a phrase of our own where the field has a term: neither a string of
// the program nor a page, a help, a manifest or an example, and no comment either.
func TestPlainWordsInDocsAndStrings(t *testing.T) {
	root := filepath.Join("..", "..")
	read := map[string]int{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if name := e.Name(); err == nil && (name == ".git" || name == "cache" || name == "node_modules") {
				return fs.SkipDir
			}
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		kind := filepath.Ext(name)
		switch {
		case name == "cmd/multiput/words_test.go":
			return nil
		case kind == ".go":
			read[kind]++
			return wordsOfGo(t, path, name)
		case kind == ".md", kind == ".yaml", kind == ".yml", kind == ".json" && strings.HasPrefix(name, "docs/"),
			kind == ".txt" && strings.HasPrefix(name, "testdata/help/"), kind == ".golden", kind == ".svg", kind == ".txtar", strings.HasPrefix(name, ".ci/"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			read[kind]++
			words := rejected
			if kind != ".txtar" && !strings.Contains(name, "/design/") && name != "CONTRIBUTING.md" {
				words = rejectedForUsers
			}
			text := string(b)
			if kind == ".txtar" { // what it expects is checked where it is from
				text = strings.Join(noted.FindAllString(text, -1), "\n")
			}
			if name == "testdata/findings.golden" { // each is below the change of a manifest that brings it
				text = brought.ReplaceAllString(text, "")
			}
			for _, w := range wordsIn(text, words) {
				t.Errorf("%s says %s", name, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{".go", ".md", ".yaml", ".yml", ".json", ".txt", ".golden", ".txtar", ""} {
		if read[kind] == 0 {
			t.Errorf("no %s was read", kind)
		}
	}
}

// wordsOfGo looks at the comments of a file and at its strings, with what is joined by
// + as one. Tests have names of users and pieces of wrong manifests, too: only
// their titles and messages are looked at.
func wordsOfGo(t *testing.T, path, name string) error {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, c := range f.Comments {
		for _, w := range wordsIn(c.Text(), rejected) {
			t.Errorf("%s:%d: the comment says %s", name, files.Position(c.Pos()).Line, w)
		}
	}
	test := strings.HasSuffix(name, "_test.go")
	ast.Inspect(f, func(n ast.Node) bool {
		if _, ok := n.(*ast.ImportSpec); ok {
			return false
		}
		if id, ok := n.(*ast.Ident); ok && id.Name != "Chunk" { // slices.Chunk
			for _, word := range inNames.FindAllString(id.Name, -1) {
				if dialectNames.MatchString(word) {
					t.Errorf("%s:%d: the name %s has %q", name, files.Position(id.Pos()).Line, id.Name, word)
				}
			}
		}
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		text, ok := literal(e)
		if !ok {
			return true
		}
		if oldNames.MatchString(text) || strings.Contains(text, "(?:") || test && !title.MatchString(text) {
			return false
		}
		words := rejected
		if !test {
			words = rejectedForUsers
		}
		for _, w := range wordsIn(text, words) {
			t.Errorf("%s:%d says %s", name, files.Position(n.Pos()).Line, w)
		}
		return false
	})
	return nil
}

// literal is the text of a string, or of strings joined by +.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			x, okX := literal(e.X)
			y, okY := literal(e.Y)
			return x + y, okX && okY
		}
	}
	return "", false
}
