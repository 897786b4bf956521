package storeerr

import (
	"strings"
	"testing"
)

func TestStoreErrors(t *testing.T) {
	for body, want := range map[string]string{
		"<Error><Code>A</Code></Error>":                               "A",
		"\ufeff<?xml version='1.0'?>\n<Error><Code>A</Code></Error>":  "A",
		"<Error xmlns='x'><Code>A</Code><Message>m</Message></Error>": "A",
		"<html><Code>A</Code></html>":                                 "",
		"<Error></Error>":                                             "",
		"<Error><Code>A</Code>":                                       "",
		"":                                                            "",
		`{"Code":"A"}`:                                                "",
		"<!DOCTYPE x [<!ENTITY a 'b'>]><Error><Code>&a;</Code></Error>":                       "",
		"<Error><Code>A</Code><Message>" + strings.Repeat("x", maxXML) + "</Message></Error>": "",
	} {
		x := Read([]byte(body))
		if (x != nil) != (want != "") || x != nil && x.Code != want {
			t.Errorf("%.60s: %+v", body, x)
		}
	}
}
