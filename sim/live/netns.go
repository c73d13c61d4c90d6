package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// netns gives each node a network namespace of its own. All are on one bridge
// with this process, which is their gateway: the proxies listen there, and a node
// reaches nobody but through them. Packet filters stand in the namespace of the
// node that dials, on its way to a proxy. Nothing else of the machine is touched.
type netns struct {
	gateway string // address of this process on the bridge
	id      string // of this run, in the names of what it makes
	bridge  string
	prefix  string // of the names of namespaces
	filter  filter

	mu      sync.Mutex        // guards what follows
	names   map[string]string // namespaces, by lane
	order   []string          // namespaces, as they were made
	opened  bool
	packets map[string]uint64 // counted by rules that are gone, by their marks
}

// Names of what is made on the machine begin so and go on with the id of the
// process, so that the leftovers of a process that was killed can be told.
const (
	nsPrefix     = "cwl-"
	bridgePrefix = "cwb"
	hostPrefix   = "cwh"
	peerPrefix   = "cwp"
)

// subnets is how many there are to choose from, within the addresses that are set
// apart for tests of networks.
const subnets = 250

// rule is what packet filters do to one direction of a wire.
type rule struct {
	port    string // of the proxy
	back    bool   // what comes from it
	blocked bool
	loss    float64
}

// mark names a rule in the filter's lists.
func (r *rule) mark(what string) string {
	if r.back {
		return what + "-" + r.port + "-back"
	}
	return what + "-" + r.port + "-there"
}

// newNetns looks whether namespaces and packet filters can be made here, by
// making some. It returns an *[UnfitError] that names all that is missing.
func newNetns(ctx context.Context) (*netns, error) {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		missing = append(missing, "the program ip (package iproute2) is missing")
	}
	filters := findFilters()
	if len(filters) == 0 {
		missing = append(missing, "the programs nft (package nftables) and iptables-restore are missing: one is needed")
	}
	if len(missing) > 0 {
		return nil, &UnfitError{Reasons: missing}
	}
	id := fmt.Sprintf("%dx%02x", os.Getpid(), rand.IntN(256)) // there may be several runs in one process
	n := &netns{id: id, bridge: bridgePrefix + id, prefix: nsPrefix + id + "-", names: map[string]string{},
		packets: map[string]uint64{}}
	if err := n.probe(ctx, filters); err != nil {
		return nil, &UnfitError{Reasons: []string{err.Error()}}
	}
	return n, nil
}

// probe tries out what will be needed and chooses the packet filter that works.
func (n *netns) probe(ctx context.Context, filters []filter) (err error) {
	name := n.prefix + "probe"
	if err := ip(ctx, "netns", "add", name); err != nil {
		return fmt.Errorf("network namespaces cannot be made: %w", err)
	}
	defer func() { err = errors.Join(err, ip(context.WithoutCancel(ctx), "netns", "del", name)) }()
	if err := ip(ctx, "-n", name, "link", "add", "name", "probe0", "type", "veth", "peer", "name", "probe1"); err != nil {
		return fmt.Errorf("pairs of devices (veth) cannot be made: %w", err)
	}
	if err := ip(ctx, "-n", name, "link", "add", "name", "probe2", "type", "bridge"); err != nil {
		return fmt.Errorf("bridges cannot be made: %w", err)
	}
	var tried []error
	for _, f := range filters {
		err := f.set(ctx, name, loopback, []rule{{port: "1", blocked: true}, {port: "1", back: true, loss: 0.5}})
		if err == nil {
			n.filter = f
			return nil
		}
		tried = append(tried, fmt.Errorf("packet filters with random drops cannot be made: %w", err))
	}
	return errors.Join(tried...)
}

// open makes the bridge, after removing what processes left that were killed.
func (n *netns) open(ctx context.Context) error {
	if err := sweep(ctx); err != nil {
		return err
	}
	if err := ip(ctx, "link", "add", "name", n.bridge, "type", "bridge"); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	n.opened = true
	taken, err := program(ctx, "", "ip", "-4", "-o", "addr", "show")
	if err != nil {
		return fmt.Errorf("addresses of this machine: %w", err)
	}
	subnet, start := "", rand.IntN(subnets)
	for i := range subnets {
		s := fmt.Sprintf("198.18.%d.", (start+i)%subnets)
		if !strings.Contains(taken, " "+s) {
			subnet = s
			break
		}
	}
	if subnet == "" {
		return fmt.Errorf("all networks of 198.18.0.0/16 are in use here")
	}
	n.gateway = subnet + "1"
	return errors.Join(ip(ctx, "addr", "add", n.gateway+"/24", "dev", n.bridge), ip(ctx, "link", "set", n.bridge, "up"))
}

// sweep removes namespaces and bridges of processes that are gone.
func sweep(ctx context.Context) error {
	spaces, err := program(ctx, "", "ip", "netns", "list")
	if err != nil {
		return fmt.Errorf("network namespaces: %w", err)
	}
	var errs []error
	for _, name := range regexp.MustCompile(`(?m)^`+nsPrefix+`(\d+)x\S+`).FindAllStringSubmatch(spaces, -1) {
		if deadProcess(name[1]) {
			errs = append(errs, ip(ctx, "netns", "del", name[0]))
		}
	}
	links, err := program(ctx, "", "ip", "-o", "link", "show", "type", "bridge")
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("bridges: %w", err))...)
	}
	for _, name := range regexp.MustCompile(`\b`+bridgePrefix+`(\d+)x[0-9a-f]+\b`).FindAllStringSubmatch(links, -1) {
		if deadProcess(name[1]) {
			errs = append(errs, ip(ctx, "link", "del", name[0]))
		}
	}
	return errors.Join(errs...)
}

func deadProcess(pid string) bool {
	id, err := strconv.Atoi(pid)
	return err == nil && errors.Is(syscall.Kill(id, 0), syscall.ESRCH)
}

// add makes the namespace of a node and gives its address.
func (n *netns) add(ctx context.Context, lane string) (addr string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	number := len(n.order) + 2 // the gateway is 1
	name := n.prefix + strconv.Itoa(number)
	host, peer := fmt.Sprintf("%s%s-%d", hostPrefix, n.id, number), fmt.Sprintf("%s%s-%d", peerPrefix, n.id, number)
	addr = strings.TrimSuffix(n.gateway, "1") + strconv.Itoa(number)
	if err := ip(ctx, "netns", "add", name); err != nil {
		return "", fmt.Errorf("network namespace of %s: %w", lane, err)
	}
	n.names[lane] = name
	n.order = append(n.order, name)
	for _, args := range [][]string{
		{"link", "add", "name", host, "type", "veth", "peer", "name", peer},
		{"link", "set", peer, "netns", name},
		{"link", "set", host, "master", n.bridge, "up"},
		{"-n", name, "link", "set", "lo", "up"},
		{"-n", name, "addr", "add", addr + "/24", "dev", peer},
		{"-n", name, "link", "set", peer, "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return "", fmt.Errorf("network of %s: %w", lane, err)
		}
	}
	return addr, nil
}

// exec is what goes before the command of a node.
func (n *netns) exec(lane string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []string{"ip", "netns", "exec", n.names[lane]}
}

// filterTimeout bounds one change of the packet filters.
const filterTimeout = 10 * time.Second

// apply replaces the packet filters of a node.
func (n *netns) apply(ctx context.Context, lane string, rules []rule) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), filterTimeout) // also while a run is being ended
	defer cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.collect(ctx, lane); err != nil {
		return err
	}
	return n.filter.set(ctx, n.names[lane], n.gateway, rules)
}

// collect adds up what the rules in force have counted. Callers hold mu.
func (n *netns) collect(ctx context.Context, lane string) error {
	counts, err := n.filter.counts(ctx, n.names[lane])
	for mark, packets := range counts {
		n.packets[lane+" "+mark] += packets
	}
	return err
}

// counted gives the packets of one direction of a wire while it was lossy, and
// how many of them were dropped. It counts up to the last change of the filters.
func (n *netns) counted(lane, addr string, dir int) (all, hits uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := rule{port: portOf(addr), back: dir == 1}
	return n.packets[lane+" "+r.mark("all")], n.packets[lane+" "+r.mark("lost")]
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// close removes everything. The processes in the namespaces have ended.
func (n *netns) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), filterTimeout)
	defer cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, name := range n.order {
		errs = append(errs, ip(ctx, "netns", "del", name))
	}
	if n.opened {
		errs = append(errs, ip(ctx, "link", "del", n.bridge))
	}
	n.order, n.opened = nil, false
	return errors.Join(errs...)
}

// rulesOf gives what packet filters have to do for the wires of a node. Callers
// hold mu.
func (n *network) rulesOf(lane string) []rule {
	var rules []rule
	for _, w := range n.wires {
		if w.owner != lane {
			continue
		}
		for i, back := range []bool{false, true} {
			if w.was.blocked[i] || w.was.loss[i] > 0 {
				port := portOf(w.proxy.Addr())
				rules = append(rules, rule{port: port, back: back, blocked: w.was.blocked[i], loss: w.was.loss[i]})
			}
		}
	}
	return rules
}

func ip(ctx context.Context, args ...string) error {
	_, err := program(ctx, "", "ip", args...)
	return err
}

// program runs a program to its end and gives what it wrote. An error has what it
// complained about.
func program(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}
