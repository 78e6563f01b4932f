package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/server"
)

const (
	// envPrefix and a flag's name in capitals make the environment variable that sets the flag: --nats-listen is
	// TRESTLE_NATS_LISTEN.
	envPrefix = "TRESTLE_"
	// configFlag names the file that the others may come from.
	configFlag = "config"
)

// unbuiltSettings are settings of the documented set whose feature does not exist yet: they are refused by name, wherever
// they are given, because a setting is never accepted and ignored.
var unbuiltSettings = []string{"bootstrap-expect", "join"}

func addUnbuiltFlags(flags *pflag.FlagSet) {
	for _, name := range unbuiltSettings {
		flags.String(name, "", "clusters of several servers are not built yet")
		_ = flags.MarkHidden(name) // fails for a flag that does not exist
	}
}

// environmentName is the variable that sets a flag.
func environmentName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// keyName is where a setting stands in a file: --nats-tls-ca is nats.tls.ca, and --nats, which is not a group, nats.urls.
func keyName(flag string) string {
	switch {
	case flag == "nats":
		return "nats.urls"
	case strings.HasPrefix(flag, "nats-tls-"), strings.HasPrefix(flag, "nats-"), strings.HasPrefix(flag, "tls-"), strings.HasPrefix(flag, "capture-"):
		return strings.ReplaceAll(flag, "-", ".")
	default:
		return flag
	}
}

// origins say where each setting of a server comes from, by flag.
type origins map[string]string

const fromDefault = "default"

// named says where the setting comes from with whose flag a message begins, if that is not the flag.
func (o origins) named(message string) string {
	flag, _, _ := strings.Cut(message, " ")
	from, ok := o[strings.TrimSuffix(strings.TrimPrefix(flag, "--"), ":")]
	if !ok || from == "flag" || from == fromDefault {
		return message
	}
	return from + ": " + message
}

// settleServer takes what no flag says from the environment, else from the file, and refuses what cannot be or cannot go
// together.
func settleServer(inv *invocation, cmd *cobra.Command, cfg *server.Config) (origins, error) {
	file, err := readSettings(inv, cmd)
	if err != nil {
		return nil, err
	}
	from := origins{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err == nil && isSetting(f.Name) {
			from[f.Name], err = settleFlag(inv, cmd, f, file)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, name := range unbuiltSettings {
		if from[name] != fromDefault {
			return nil, &misuse{
				message: fmt.Sprintf("%s: --%s (%s): clusters of several servers are not built yet", cmd.CommandPath(), name, from[name]),
				remedy:  "leave it out",
				names:   map[string]string{"flag": "--" + name},
			}
		}
	}
	if from["nats"] != fromDefault && from["nats-listen"] != fromDefault {
		return nil, argumentMisuse(cmd, "--nats (%s) and --nats-listen (%s) exclude each other: use a NATS that runs, or the one that is built in",
			from["nats"], from["nats-listen"])
	}
	if err := cfg.Validate(); err != nil {
		return nil, &misuse{message: cmd.CommandPath() + ": " + from.named(err.Error()), remedy: "see trestle server --help"}
	}
	return from, nil
}

// isSetting says whether a flag configures the server.
func isSetting(flag string) bool {
	return !slices.Contains([]string{"help", configFlag, "output"}, flag)
}

// settleFlag finds the value of one setting, and says where it was.
func settleFlag(inv *invocation, cmd *cobra.Command, f *pflag.Flag, file *settingsFile) (string, error) {
	if f.Changed {
		return "flag", nil
	}
	name := environmentName(f.Name)
	from := "environment " + name
	value, ok := inv.lookupEnv(name)
	if !ok {
		if value, ok = file.values[keyName(f.Name)]; !ok {
			return fromDefault, nil
		}
		from, name = "file "+file.name, file.name+": "+keyName(f.Name)
	}
	if cause := cmd.Flags().Set(f.Name, value); cause != nil {
		if invalid, ok := errors.AsType[*pflag.InvalidValueError](cause); ok {
			cause = invalid.Unwrap()
		}
		return "", valueMisuse(cmd, name, value, cause)
	}
	return from, nil
}

// settingsFile is what a YAML file sets, by key.
type settingsFile struct {
	name   string
	values map[string]string
}

// readSettings reads the file that the flag or the environment names; without one nothing is set.
func readSettings(inv *invocation, cmd *cobra.Command) (*settingsFile, error) {
	name, err := cmd.Flags().GetString(configFlag)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name, _ = inv.lookupEnv(environmentName(configFlag))
	}
	if name == "" {
		return &settingsFile{}, nil
	}
	refuse := func(format string, args ...any) error {
		return &misuse{
			message: fmt.Sprintf("%s: --config %s: ", cmd.CommandPath(), name) + fmt.Sprintf(format, args...),
			remedy:  "correct the file; trestle config print shows all keys",
			names:   map[string]string{"flag": "--config", "value": name},
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, refuse("%v", err)
	}
	tree := koanf.New(".")
	if err := tree.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return nil, refuse("not YAML: %v", err)
	}
	file := &settingsFile{name: name, values: map[string]string{}}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if isSetting(f.Name) {
			known = append(known, keyName(f.Name))
		}
	})
	for _, key := range tree.Keys() {
		if tree.Get(key) == nil && isGroup(key, known) { // a group of comments
			continue
		}
		if !slices.Contains(known, key) {
			return nil, refuse("%s", unknownKey(key, known))
		}
		value, err := settingText(tree.Get(key))
		if err != nil {
			return nil, refuse("%s: %v", key, err)
		}
		file.values[key] = value
	}
	return file, nil
}

func isGroup(key string, known []string) bool {
	return slices.ContainsFunc(known, func(other string) bool { return strings.HasPrefix(other, key+".") })
}

// unknownKey says that a file has a key that no setting has, and which was probably meant.
func unknownKey(key string, known []string) string {
	if isGroup(key, known) {
		return fmt.Sprintf("%q is a group of settings and takes no value; write its settings below it", key)
	}
	if match, ok := nearest(strings.ReplaceAll(key, "_", "-"), known); ok {
		return fmt.Sprintf("there is no setting %q; did you mean %s?", key, match)
	}
	return fmt.Sprintf("there is no setting %q", key)
}

// settingText is a value of a file as a flag takes it.
func settingText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), nil
	case []any:
		words := make([]string, 0, len(v))
		for _, one := range v {
			word, ok := one.(string)
			if !ok {
				return "", fmt.Errorf("%v is not a text", one)
			}
			words = append(words, word)
		}
		return strings.Join(words, ","), nil
	case nil:
		return "", errors.New("it has no value; give it one or leave the key out")
	default:
		return "", fmt.Errorf("%v is neither a text nor a list of texts", v)
	}
}

// redacted hides the passwords in URLs of NATS servers.
func redacted(urls []string) []string {
	shown := slices.Clone(urls)
	for i, text := range shown {
		if u, err := url.Parse(text); err == nil {
			shown[i] = u.Redacted()
		}
	}
	return shown
}
