/** The files that an app is made of, as far as that can be told from their names. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'

const SOURCES = new Set(
  '.py .js .mjs .cjs .ts .mts .cts .jsx .tsx .rb .php .pl .pm .lua .ex .exs .clj .sh .jinja .j2 .erb .ejs'.split(
    ' ',
  ),
)
/** What others have put there, or what was made of the sources. */
const FOREIGN = new Set(['node_modules', '__pycache__', 'venv', 'site-packages', 'vendor'])
/** They are looked at with every request. */
const MOST = 2000

/** SHA-256 of each, by path; null: there are too many to look after. */
export function sourcesBelow(directory: string): Record<string, string> | null {
  const found: Record<string, string> = {}
  let count = 0
  const walk = (at: string): boolean => {
    let entries
    try {
      entries = readdirSync(at, { withFileTypes: true })
    } catch {
      return true
    }
    return entries.every((entry) => {
      const path = join(at, entry.name)
      if (entry.name.startsWith('.') || FOREIGN.has(entry.name)) return true
      if (entry.isDirectory()) return walk(path)
      if (!entry.isFile() || !SOURCES.has(extname(entry.name))) return true
      try {
        found[path] = createHash('sha256').update(readFileSync(path)).digest('hex')
      } catch {
        // It is gone, or not ours to read.
      }
      return ++count <= MOST
    })
  }
  return walk(directory) ? found : null
}
