package torchstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/internal/checkpoint"
	"github.com/fusedadam/adam/internal/safetensors"
)

// A group is an entry of param_groups, or a group of a checkpoint.
type group struct {
	config  checkpoint.Config
	ids     []string // of the parameters, in the keys of the file
	names   []string // of the parameters for package adam
	options map[string]json.RawMessage
}

// Options of torch's groups.
const (
	keyDecoupled = "decoupled_weight_decay" // from torch 2.7 on
	keyNames     = "param_names"            // from torch 2.6 on
	keyParams    = "params"
)

var (
	needed = []string{"lr", "betas", "eps", "weight_decay", "amsgrad", keyParams}
	// harmless are torch's options that say how a step is computed, and not what.
	harmless = []string{"capturable", "differentiable", "foreach", "fused"}
	// always are options of other Adams, with the only value that has the arithmetic of torch's.
	always = map[string]string{"bias_correction": "true", "correct_bias": "true"}
)

// readGroups reads the metadata param_groups.
func readGroups(text, class string) ([]group, error) {
	var groups []group
	groupOf := map[string]int{}
	err := safetensors.Parse(text, func(p *safetensors.Parser) error {
		return p.List(func() error {
			g, err := readGroup(p, class)
			if err != nil {
				return fmt.Errorf("group %d: %w", len(groups), err)
			}
			for _, id := range g.ids {
				if before, ok := groupOf[id]; ok {
					return fmt.Errorf("parameter %s is in group %d and in group %d",
						safetensors.Quote(id), before, len(groups))
				}
				groupOf[id] = len(groups)
			}
			groups = append(groups, g)
			return nil
		})
	})
	return groups, err
}

func readGroup(p *safetensors.Parser, class string) (group, error) {
	g := group{options: map[string]json.RawMessage{}}
	has := map[string]bool{}
	err := p.Object(nil, func(key string) error {
		has[key] = true
		if err := g.readOption(p, key); err != nil {
			return fmt.Errorf("%s: %w", safetensors.Quote(key), err)
		}
		return nil
	})
	if err != nil {
		return g, err
	}
	for _, key := range needed {
		if !has[key] {
			return g, fmt.Errorf("%q is missing: want a group of torch.optim.Adam or AdamW", key)
		}
	}
	if !has[keyDecoupled] {
		switch {
		case class == classAdamW:
			g.config.Decoupled = true
		case class != classAdam && g.config.WeightDecay != 0:
			return g, fmt.Errorf("neither %q nor the metadata %q tells Adam from AdamW: "+
				"save type(optimizer).__name__ as that", keyDecoupled, keyClass)
		}
	}
	if has[keyNames] && len(g.names) != len(g.ids) {
		return g, fmt.Errorf("%d %s for %d %s", len(g.names), keyNames, len(g.ids), keyParams)
	}
	return g, validate(g.config)
}

func (g *group) readOption(p *safetensors.Parser, key string) (err error) {
	c := &g.config
	switch key {
	case "lr":
		c.LR, err = p.Float()
	case "betas":
		c.Betas, err = checkpoint.Betas(p)
	case "eps":
		c.Eps, err = p.Float()
	case "weight_decay":
		c.WeightDecay, err = p.Float()
	case "amsgrad":
		c.AMSGrad, err = p.Bool()
	case "maximize":
		c.Maximize, err = p.Bool()
	case keyDecoupled:
		c.Decoupled, err = p.Bool()
	case keyParams:
		err = p.List(func() error {
			id, err := readID(p)
			g.ids = append(g.ids, id)
			return err
		})
	case keyNames:
		err = p.List(func() error {
			name, err := p.String()
			g.names = append(g.names, name)
			return err
		})
	default:
		var raw string
		raw, err = p.Raw()
		if want, ok := always[key]; ok && err == nil && raw != want {
			err = fmt.Errorf("%s, and package adam always corrects the bias",
				safetensors.Quote(raw))
		}
		g.options[key] = json.RawMessage(raw)
	}
	return err
}

// readID reads a parameter of a group: torch's number of it, or its name in a state_dict of
// torch.distributed.
func readID(p *safetensors.Parser) (id string, err error) {
	raw, err := p.Raw()
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(raw, `"`) {
		err = safetensors.Parse(raw, func(p *safetensors.Parser) (err error) {
			id, err = p.String()
			return err
		})
		return id, err
	}
	if _, err := strconv.ParseUint(raw, 10, 63); err != nil {
		return "", fmt.Errorf("parameter %s, want its number or its name", safetensors.Quote(raw))
	}
	return raw, nil
}

// name gives the parameters of groups their names: those given, else those of the file, else the
// ids.
func name(groups []group, given []string) error {
	named, params := 0, 0
	for i := range groups {
		params += len(groups[i].ids)
		named += len(groups[i].names)
	}
	if given != nil && len(given) != params {
		return fmt.Errorf("%d names are given for %d parameters", len(given), params)
	}
	if given == nil && named > 0 && named < params {
		return fmt.Errorf("%s are there for %d of %d parameters", keyNames, named, params)
	}
	seen := map[string]bool{}
	for i := range groups {
		g := &groups[i]
		switch {
		case given != nil:
			g.names, given = given[:len(g.ids)], given[len(g.ids):]
		case named == 0:
			g.names = g.ids
		}
		for _, n := range g.names {
			if seen[n] || !utf8.ValidString(n) {
				return fmt.Errorf("name %s is not unique or not UTF-8", safetensors.Quote(n))
			}
			seen[n] = true
		}
	}
	return nil
}

// json returns the group as torch has it, with the parameters' numbers from first on.
func (g *group) json(first int) map[string]any {
	all := map[string]any{}
	for key, value := range g.options {
		all[key] = value
	}
	c := &g.config
	params := make([]int, len(g.names))
	numbers := true
	for i, name := range g.names {
		params[i] = first + i
		numbers = numbers && name == strconv.Itoa(params[i])
	}
	for key, value := range map[string]any{
		"lr": c.LR, "betas": c.Betas, "eps": c.Eps, "weight_decay": c.WeightDecay,
		"amsgrad":  c.AMSGrad,
		"maximize": c.Maximize, keyDecoupled: c.Decoupled, keyParams: params,
	} {
		all[key] = value
	}
	if !numbers {
		all[keyNames] = g.names
	}
	return all
}

// foreign returns the options that neither package adam nor torch's own Adam has.
func foreign(groups []group) (list []string) {
	for i := range groups {
		for key := range groups[i].options {
			if !slices.Contains(harmless, key) && always[key] == "" && !slices.Contains(list, key) {
				list = append(list, key)
			}
		}
	}
	slices.Sort(list)
	return list
}

// badConfig is an adam.ErrConfig that does not say so, for the text of another error.
type badConfig string

func (c badConfig) Error() string      { return string(c) }
func (badConfig) Is(target error) bool { return target == adam.ErrConfig }

func validate(c checkpoint.Config) error {
	err := adam.Config{
		LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1], Eps: c.Eps, WeightDecay: c.WeightDecay,
		Decoupled: c.Decoupled, AMSGrad: c.AMSGrad, Maximize: c.Maximize,
		EpsUncorrected: c.EpsUncorrected,
	}.Validate()
	if errors.Is(err, adam.ErrConfig) {
		return badConfig(strings.TrimPrefix(err.Error(), adam.ErrConfig.Error()+": "))
	}
	return err
}
