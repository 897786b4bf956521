package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// awsHome has the AWS SDK see nothing but this configuration and environment.
func awsHome(t *testing.T, config string, env ...string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name) // Setenv restores it
		}
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	for i := 0; i < len(env); i += 2 {
		t.Setenv(env[i], env[i+1])
	}
}

// TestWhyNoCredentials checks the message where the AWS configuration has none.
func TestWhyNoCredentials(t *testing.T) {
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	var on net.ListenConfig
	silent, err := on.Listen(t.Context(), "tcp", "127.0.0.1:0") // nothing answers on it
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer broken.Close()
	const sso = "sso_start_url = https://x.example/start\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = r\n"
	for name, c := range map[string]struct {
		config string
		env    []string
		want   string
		again  bool // it may go better later
	}{
		"nowhere":                {"", []string{"AWS_EC2_METADATA_DISABLED", "true"}, "no AWS credentials (looked in AWS_ACCESS_KEY_ID", false},
		"the machine is silent":  {"", []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://" + silent.Addr().String()}, "the machine's role (IMDS) does not answer (looked in", false},
		"the machine has none":   {"", []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", refuses.URL}, "the machine's role (IMDS): ", false},
		"a process fails":        {"[default]\ncredential_process = exit 41\n", nil, "credential_process: exit status 41 (looked in", false},
		"a process writes words": {"[default]\ncredential_process = echo hush-4711\n", nil, "the output of credential_process is not the expected JSON", false},
		"SSO":                    {"[default]\n" + sso, nil, `log in with "aws sso login" (looked in`, false},
		"the container's service is broken": {
			"", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", broken.URL, "AWS_MAX_ATTEMPTS", "1"}, "cannot get the AWS credentials now: ", true,
		},
		"a service is gone": {
			"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\nregion = eu-west-1\n[profile base]\naws_access_key_id = a\naws_secret_access_key = hush-4711\n",
			[]string{"AWS_ENDPOINT_URL_STS", "http://" + unused(t), "AWS_MAX_ATTEMPTS", "1"}, "cannot get the AWS credentials now: STS: ", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			awsHome(t, c.config, c.env...)
			p, err := open(place{bucket: "bucket"}, spec.Settings{Base: "https://store.example"}, find)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.keys(t.Context())
			var temporary upload.Temporary
			again := errors.As(err, &temporary) && temporary.Temporary()
			if err == nil || !strings.Contains(err.Error(), c.want) || again != c.again || errors.Is(err, upload.ErrDenied) == c.again || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v", err)
			}
			if !p.Keyless() {
				t.Error("it has keys")
			}
		})
	}
}

// TestCredentialsTooLate: a service that does not answer may do so later, and a
// program of the user's that hangs is for the user to see to.
func TestCredentialsTooLate(t *testing.T) {
	late := fmt.Errorf("get identity: %w", context.DeadlineExceeded)
	for _, c := range []struct {
		err   error
		again bool
	}{{late, true}, {&processcreds.ProviderError{Err: late}, false}} {
		err := noKeys(c.err)
		var temporary upload.Temporary
		if again := errors.As(err, &temporary) && temporary.Temporary(); again != c.again || errors.Is(err, upload.ErrDenied) == c.again || !strings.Contains(err.Error(), "no answer within 20s") {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// TestRoleWithMFA names what is missing where a role wants a code.
func TestRoleWithMFA(t *testing.T) {
	awsHome(t, "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"+
		"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n")
	if _, err := open(place{bucket: "bucket"}, spec.Settings{}, find); !errors.Is(err, upload.ErrDenied) || !strings.Contains(err.Error(), "needs an MFA code") {
		t.Error(err)
	}
}

// unused is an address at which nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	var on net.ListenConfig
	l, err := on.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestNoProfile checks the error of an unknown profile: of the option, of
// the environment, and of another profile.
func TestNoProfile(t *testing.T) {
	const config = "[profile other]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = absent\n"
	for _, c := range []struct {
		options map[string]string
		env     string
		option  bool
		want    string
	}{
		{map[string]string{"profile": "absent"}, "", true, "no such profile"},
		{nil, "absent", false, `no profile "absent"`},
		{map[string]string{"profile": "other"}, "", false, `no profile "absent"`},
	} {
		awsHome(t, config, "AWS_PROFILE", c.env)
		_, err := open(place{bucket: "bucket"}, spec.Settings{Options: c.options}, find)
		var bad *spec.OptionError
		if err == nil || errors.As(err, &bad) != c.option || errors.Is(err, upload.ErrDenied) == c.option || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, AWS_PROFILE=%s: %v", c.options, c.env, err)
		}
	}
}

// TestProfileOfAnotherMachine takes up an upload that was begun with a profile that
// only the machine had where it began: here the key is another way.
func TestProfileOfAnotherMachine(t *testing.T) {
	awsHome(t, "", "AWS_ACCESS_KEY_ID", "here", "AWS_SECRET_ACCESS_KEY", "b", "AWS_EC2_METADATA_DISABLED", "true")
	s := spec.Settings{Options: map[string]string{"profile": "there", "acl": "private"}, Recorded: true}
	p, err := open(place{bucket: "bucket"}, s, find)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := p.keys(t.Context()); err != nil || c.AccessKeyID != "here" {
		t.Errorf("%q, %v", c.AccessKeyID, err)
	}
	if got, want := string(p.Target().Options), `{"acl":"private","profile":"there"}`; got != want {
		t.Errorf("the options are %s, want %s", got, want)
	}
}

// TestExpiredCredentials checks that nothing is signed with credentials whose time is
// over: the store would only say that it does not take them.
func TestExpiredCredentials(t *testing.T) {
	p := (&scripted{answer: func(*http.Request, string) (int, map[string]string, string) { return 200, nil, created }}).open(t, place{"bucket", "key"}, nil)
	p.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b", CanExpire: true, Expires: time.Now().Add(-time.Minute), Source: "here"}, nil
	})
	_, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
	if !errors.Is(err, upload.ErrDenied) || !errors.Is(err, upload.ErrUnsent) || !strings.Contains(err.Error(), "the AWS credentials expired at ") {
		t.Errorf("%v", err)
	}
}
