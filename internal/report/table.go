// Package report writes what the commands generate: tables, figures and the files of docs/.
package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Figure writes x with three digits, and with more only before the point.
func Figure(x float64) string {
	if x == 0 || math.Abs(x) >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	text := strconv.FormatFloat(x, 'e', 2, 64)
	exponent, _ := strconv.Atoi(text[strings.IndexByte(text, 'e')+1:])
	if exponent < -3 {
		return text
	}
	return fmt.Sprintf("%.*f", 2-exponent, x)
}

// A Table has its header in the first row. An empty first cell repeats that of the row above.
type Table [][]string

// Text aligns the table for a terminal: the first columns, so many, are words, the others figures.
func (t Table) Text(words int) string {
	width := make([]int, len(t[0]))
	repeats := false
	for _, row := range t {
		repeats = repeats || row[0] == ""
		for j, cell := range row {
			width[j] = max(width[j], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range t {
		if i > 0 && repeats && row[0] != "" {
			b.WriteByte('\n') // sets the rows of a name apart
		}
		line := ""
		for j, cell := range row {
			pad := strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell))
			if j < words {
				line += cell + pad + "  "
			} else {
				line += pad + cell + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Markdown writes the table for a page, without a line break at its end. A table without rows is
// empty.
func (t Table) Markdown(words int) string {
	if len(t) < 2 {
		return ""
	}
	rule := strings.Repeat("|---", words) + strings.Repeat("|---:", len(t[0])-words) + "|"
	var lines []string
	for _, row := range t {
		lines = append(lines, "| "+strings.Join(row, " | ")+" |")
	}
	return strings.Join(slices.Insert(lines, 1, rule), "\n")
}
