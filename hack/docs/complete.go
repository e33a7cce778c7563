package main

import (
	"fmt"
	"strings"

	"github.com/proa-containers/proa/internal/manual"
)

// What the word at a place is, as the completions name it.
const (
	kindNone      = "none"
	kindContainer = "container" // any
	kindRunning   = "running"   // one that runs
	kindImage     = "image"
	kindName      = "name" // of a container or an image
	kindFile      = "file"
	kindCommand   = "command" // of this host
)

// argKind is what the operands of a command are.
func argKind(n node) string {
	first, _, _ := strings.Cut(strings.TrimLeft(n.Args, "["), " ")
	switch strings.Trim(first, "[].") {
	case "CONTAINER":
		switch n.Name {
		case "exec", "kill", "stop":
			return kindRunning
		}
		return kindContainer
	case "IMAGE", "REPOSITORY":
		return kindImage
	case "NAME":
		return kindName
	case "COMMAND":
		return kindCommand
	}
	if strings.HasPrefix(first, "REPOSITORY") {
		return kindImage
	}
	return kindNone
}

// more tells whether a command takes more than one operand that can be completed.
func more(n node) string {
	if strings.Contains(n.Args, "COMMAND") || !strings.Contains(n.Args, "...") {
		return "1"
	}
	return "*"
}

// valueKind is what an option's value is.
func valueKind(o manual.Option) string {
	switch {
	case o.Value == "":
		return ""
	case strings.Contains(o.Value, "PATH"), strings.HasPrefix(o.Value, "SOURCE"), o.Value == "FILE", o.Value == "DIRECTORY", o.Value == "DIR":
		return kindFile
	}
	return kindNone
}

// words are all names of the commands below n.
func words(n node) []string {
	var out []string
	for _, c := range n.Commands {
		out = append(append(out, c.Name), c.Aliases...)
	}
	return out
}

// shellTable is a case statement, in the words that bash and zsh have in common: for each command by its path
// its commands, switches, options with a value, those of them whose value is a file, and what its operands are.
func shellTable(proa manual.Command) string {
	var b strings.Builder
	for _, n := range nodes(proa, "") {
		var switches, valued, files []string
		for _, o := range append(sorted(n.Options), manual.Option{Names: []string{"help"}}) {
			switch names := dashed(o); valueKind(o) {
			case "":
				switches = append(switches, names...)
			case kindFile:
				files = append(files, names...)
				valued = append(valued, names...)
			default:
				valued = append(valued, names...)
			}
		}
		patterns := []string{"'" + n.path + "'"}
		if i := strings.LastIndexByte(n.path, ' '); i > 0 {
			for _, a := range n.Aliases {
				patterns = append(patterns, "'"+n.path[:i+1]+a+"'")
			}
		}
		fmt.Fprintf(&b, "    %s)\n        subs='%s' switches='%s'\n        valued='%s' files='%s' kind=%s operands='%s' ;;\n", strings.Join(patterns, "|"),
			strings.Join(words(n), " "), strings.Join(switches, " "), strings.Join(valued, " "), strings.Join(files, " "), argKind(n), more(n))
	}
	return b.String()
}

const shellLists = `
_proa_list() {
    case $1 in
    container) proa ps --all --format '{{.Names}}' ;;
    running) proa ps --format '{{.Names}}' ;;
    image) proa images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' ;;
    name) _proa_list container; _proa_list image ;;
    esac 2>/dev/null
}
`

func bash(proa manual.Command) string {
	return "# bash completion of proa, made from the command tree by `make docs`.\n" + shellLists + `
_proa_describe() {
    case $1 in
` + shellTable(proa) + `    *) return 1 ;;
    esac
}

_proa() {
    local cur prev words cword subs switches valued files kind operands path=proa seen=0 i w
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n : cur prev words cword # an image's name has colons
    else
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    fi
    _proa_describe proa
    for ((i = 1; i < cword; i++)); do
        w=${words[i]}
        if [[ $w == -* ]]; then
            [[ " $valued " == *" $w "* ]] && ((i++))
        elif [[ $seen == 0 && " $subs " == *" $w "* ]]; then
            path="$path $w"
            _proa_describe "$path"
        else
            ((seen++))
        fi
    done
    COMPREPLY=()
    if [[ $prev == -* && " $files " == *" $prev "* ]]; then
        compopt -o default 2>/dev/null
    elif [[ $prev == -* && " $valued " == *" $prev "* ]]; then
        :
    elif [[ $seen -gt 0 && $operands == 1 ]]; then
        compopt -o default 2>/dev/null # the words of the container's command
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$switches $valued" -- "$cur"))
    elif [[ -n $subs ]]; then
        COMPREPLY=($(compgen -W "$subs" -- "$cur"))
    elif [[ $kind == command ]]; then
        COMPREPLY=($(compgen -c -- "$cur"))
    elif [[ $kind != none ]]; then
        COMPREPLY=($(compgen -W "$(_proa_list "$kind")" -- "$cur"))
        declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
    fi
}
complete -F _proa proa
`
}

func zsh(proa manual.Command) string {
	return "#compdef proa\n# zsh completion of proa, made from the command tree by `make docs`.\n" + shellLists + `
_proa_describe() {
    case $1 in
` + shellTable(proa) + `    *) return 1 ;;
    esac
}

_proa() {
    local subs switches valued files kind operands at=proa w prev=$words[CURRENT-1] cur=$words[CURRENT]
    local -i seen=0 i
    _proa_describe proa
    for ((i = 2; i < CURRENT; i++)); do
        w=$words[i]
        if [[ $w == -* ]]; then
            [[ " $valued " == *" $w "* ]] && ((i++))
        elif ((seen == 0)) && [[ " $subs " == *" $w "* ]]; then
            at="$at $w"
            _proa_describe "$at"
        else
            ((seen++))
        fi
    done
    if [[ $prev == -* && " $files " == *" $prev "* ]]; then
        _files
    elif [[ $prev == -* && " $valued " == *" $prev "* ]]; then
        return 1
    elif ((seen > 0)) && [[ $operands == 1 ]]; then
        _files # the words of the container's command
    elif [[ $cur == -* ]]; then
        compadd -- ${=switches} ${=valued}
    elif [[ -n $subs ]]; then
        compadd -- ${=subs}
    elif [[ $kind == command ]]; then
        _command_names
    elif [[ $kind != none ]]; then
        compadd -- ${(f)"$(_proa_list $kind)"}
    fi
}

_proa "$@"
`
}
