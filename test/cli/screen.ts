/** A terminal that knows what `watch` uses: enough to see what somebody in front of it sees. */
export class Screen {
  columns: number
  rows: number
  /** What was never written on is left blank; what is written over, stays until it is. */
  private cells: Array<Array<string>> = []
  private row = 0
  private column = 0
  private pending = ""
  readonly modes = new Map<string, boolean>()
  /** Everything that was written, in order. */
  raw = ""

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
    this.clear()
  }

  resize(columns: number, rows: number): void {
    this.columns = columns
    this.rows = rows
    this.cells = Array.from(
      { length: rows },
      (_, row) => Array.from({ length: columns }, (_, column) => this.cells[row]?.[column] ?? " ")
    )
  }

  get lines(): ReadonlyArray<string> {
    return this.cells.map((cells) => cells.join("").trimEnd())
  }

  get text(): string {
    return this.lines.join("\n")
  }

  private clear(): void {
    this.cells = Array.from({ length: this.rows }, () => Array.from({ length: this.columns }, () => " "))
  }

  write(text: string): void {
    this.raw += text
    let rest = this.pending + text
    this.pending = ""
    while (rest !== "") {
      // eslint-disable-next-line no-control-regex
      const sequence = /^\u001b\[([?\d;]*)([A-Za-z])/.exec(rest)
      if (sequence !== null) {
        this.control(sequence[1]!, sequence[2]!)
        rest = rest.slice(sequence[0].length)
      } else if (rest.startsWith("\u001b")) {
        if (rest.length > 20) throw new Error(`unknown sequence ${JSON.stringify(rest.slice(0, 20))}`)
        this.pending = rest
        return
      } else {
        const character = String.fromCodePoint(rest.codePointAt(0)!)
        this.put(character)
        rest = rest.slice(character.length)
      }
    }
  }

  private put(character: string): void {
    if (character === "\r") this.column = 0
    else if (character === "\n") this.row = Math.min(this.row + 1, this.rows - 1)
    else if (this.column < this.columns) {
      this.cells[this.row]![this.column++] = character
      // The second half of what is two columns wide.
      if (/[\u3000-\u9fff\uff00-\uff60]/.test(character) && this.column < this.columns) {
        this.cells[this.row]![this.column++] = ""
      }
    }
  }

  private control(parameters: string, command: string): void {
    switch (command) {
      case "H":
        this.row = 0
        this.column = 0
        return
      case "K":
        this.cells[this.row]!.fill(" ", this.column)
        return
      case "J":
        this.cells[this.row]!.fill(" ", this.column)
        for (const cells of this.cells.slice(this.row + 1)) cells.fill(" ")
        return
      case "h":
      case "l":
        this.modes.set(parameters, command === "h")
        if (parameters === "?1049") this.clear()
        return
      case "m":
        return
      default:
        throw new Error(`unknown sequence ${parameters}${command}`)
    }
  }
}
