package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// buildVersion describes the running binary.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Time     string `json:"time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readVersion takes the version from the build information.
func readVersion() buildVersion {
	v := buildVersion{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		case "vcs.time":
			v.Time = s.Value
		}
	}
	return v
}

// version is the version in one word, as nodes report it.
func version() string {
	v := readVersion()
	if v.Version != "devel" || v.Revision == "" {
		return v.Version
	}
	s := "devel-" + v.Revision[:min(12, len(v.Revision))]
	if v.Modified {
		s += "+modified"
	}
	return s
}

func runVersion(_ context.Context, args []string, std streams) error {
	fs := newFlags("version", "[--json]", std)
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(std.out, readVersion())
	}
	v := readVersion()
	_, err := fmt.Fprintf(std.out, "causeway %s %s %s\n", version(), v.Go, v.Platform)
	return err
}
