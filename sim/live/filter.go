package live

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// filter is a program that sets packet filters in a network namespace.
type filter interface {
	// set replaces all filters: rules are about ways from the namespace to ports
	// of the gateway and back.
	set(ctx context.Context, namespace, gateway string, rules []rule) error
	// counts gives the packets that rules with a mark have met.
	counts(ctx context.Context, namespace string) (map[string]uint64, error)
}

// findFilters gives the programs that there are, the better one first.
func findFilters() []filter {
	var list []filter
	if _, err := exec.LookPath("nft"); err == nil {
		list = append(list, nft{})
	}
	_, err := exec.LookPath("iptables-restore")
	if _, err2 := exec.LookPath("iptables-save"); err == nil && err2 == nil {
		list = append(list, iptables{})
	}
	return list
}

// nft is the filter of nftables.
type nft struct{}

// lossUnits is how finely a share of packets is drawn.
const lossUnits = 1_000_000

func (nft) set(ctx context.Context, namespace, gateway string, rules []rule) error {
	var b strings.Builder
	b.WriteString("table inet causeway {\n chain in { type filter hook input priority 0; }\n" +
		" chain out { type filter hook output priority 0; }\n}\n" +
		"flush chain inet causeway in\nflush chain inet causeway out\n")
	for i := range rules {
		r := &rules[i]
		at := fmt.Sprintf("add rule inet causeway out ip daddr %s tcp dport %s ", gateway, r.port)
		if r.back {
			at = fmt.Sprintf("add rule inet causeway in ip saddr %s tcp sport %s ", gateway, r.port)
		}
		if r.blocked {
			fmt.Fprintf(&b, "%scounter drop comment %q\n", at, r.mark("blocked"))
			continue
		}
		fmt.Fprintf(&b, "%scounter comment %q\n", at, r.mark("all"))
		fmt.Fprintf(&b, "%snumgen random mod %d < %d counter drop comment %q\n", at, lossUnits, units(r.loss), r.mark("lost"))
	}
	_, err := program(ctx, b.String(), "ip", "netns", "exec", namespace, "nft", "-f", "-")
	return err
}

// units is a share in lossUnits, of which there is one at least.
func units(share float64) int { return max(1, int(share*lossUnits)) }

var nftCounter = regexp.MustCompile(`counter packets (\d+) .*comment "([^"]+)"`)

func (nft) counts(ctx context.Context, namespace string) (map[string]uint64, error) {
	text, err := program(ctx, "", "ip", "netns", "exec", namespace, "nft", "list", "ruleset")
	return counted(text, nftCounter), err
}

// iptables is the filter of iptables, of either make.
type iptables struct{}

func (iptables) set(ctx context.Context, namespace, gateway string, rules []rule) error {
	var b strings.Builder
	b.WriteString("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n")
	for i := range rules {
		r := &rules[i]
		at := fmt.Sprintf("-A OUTPUT -d %s -p tcp --dport %s -m comment --comment ", gateway, r.port)
		if r.back {
			at = fmt.Sprintf("-A INPUT -s %s -p tcp --sport %s -m comment --comment ", gateway, r.port)
		}
		if r.blocked {
			fmt.Fprintf(&b, "%s%s -j DROP\n", at, r.mark("blocked"))
			continue
		}
		fmt.Fprintf(&b, "%s%s\n", at, r.mark("all"))
		fmt.Fprintf(&b, "%s%s -m statistic --mode random --probability %.6f -j DROP\n", at, r.mark("lost"),
			float64(units(r.loss))/lossUnits)
	}
	b.WriteString("COMMIT\n")
	_, err := program(ctx, b.String(), "ip", "netns", "exec", namespace, "iptables-restore")
	return err
}

var iptablesCounter = regexp.MustCompile(`\[(\d+):\d+\] .*--comment "?([a-z0-9-]+)"?`)

func (iptables) counts(ctx context.Context, namespace string) (map[string]uint64, error) {
	text, err := program(ctx, "", "ip", "netns", "exec", namespace, "iptables-save", "-c")
	return counted(text, iptablesCounter), err
}

// counted adds up packets by the marks of rules.
func counted(text string, pattern *regexp.Regexp) map[string]uint64 {
	counts := map[string]uint64{}
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		if packets, err := strconv.ParseUint(m[1], 10, 64); err == nil {
			counts[m[2]] += packets
		}
	}
	return counts
}
