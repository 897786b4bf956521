package check

import "slices"

// testCase is one claim, and what puts it to the test.
type testCase struct {
	name string
	try  func(*trial)
}

// cases are in the order of an upload.
var cases = []testCase{
	{"empty file", (*trial).emptyFile},
	{"one byte", func(t *trial) { t.roundTrip(1) }},
	{"one part", func(t *trial) { t.roundTrip(t.PartSize) }},
	{"one part and a byte", func(t *trial) { t.roundTrip(t.PartSize + 1) }},
	{"several parts", func(t *trial) { t.roundTrip(2*t.PartSize + 1) }},
	{"names", (*trial).names},
	{"a process for each step", (*trial).manyProcesses},
	{"a part sent twice", (*trial).sentTwice},
	{"a part cut short", (*trial).cutShort},
	{"urls again", (*trial).urlsAgain},
	{"a presigned URL past its end", (*trial).lapsed},
	{"a part missing", (*trial).partMissing},
	{"a forged receipt", (*trial).forgedReceipt},
	{"another digest", (*trial).otherDigest},
	{"checkpoints", (*trial).checkpoints},
	{"taking over", (*trial).takeOver},
	{"completed twice", (*trial).completedTwice},
	{"asked how it ended", (*trial).probe},
	{"abort", (*trial).abort},
	{"abort after complete", (*trial).abortCompleted},
	{"an unknown upload", (*trial).unknownUpload},
	{"a refused key", (*trial).refusedKey},
	{"a key refused later", (*trial).keyRefusedLater},
	{"cancelled before", (*trial).cancelledBefore},
	{"cancelled under way", (*trial).cancelledUnderWay},
	// Last: it looks at all that the others sent.
	{"where the key went", (*trial).whereTheKeyWent},
}

// Cases are the names of the cases, in the order in which they run.
func Cases() []string {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.name
	}
	return names
}

// Run puts a provider to the test, each case in a test of its own.
func Run[T Test[T]](t T, s Subject) {
	t.Helper()
	for _, name := range s.Only {
		if !slices.Contains(Cases(), name) {
			t.Fatalf("there is no case %q", name)
		}
	}
	if s.Open == nil || s.Object == nil || s.Key == "" || s.BadKey == "" || s.PartSize <= 0 {
		t.Fatalf("the subject lacks Open, Object, Key, BadKey or PartSize")
	}
	for _, c := range cases {
		if s.Only != nil && !slices.Contains(s.Only, c.name) {
			continue
		}
		t.Run(c.name, func(t T) { c.try(&trial{TB: t, Subject: s}) })
	}
}
