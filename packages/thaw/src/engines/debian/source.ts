/** The machine's own entry for Debian's archive, as apt has it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Source {
  format: 'sources' | 'list'
  text: string
}

/** An entry for another suite of the same mirror, checked with the same keys; null where Debian is no source here. */
export function findSource(directory: string, suite: string): Source | null {
  const parts = join(directory, 'sources.list.d')
  const names = existsSync(parts)
    ? readdirSync(parts)
        .sort()
        .map((name) => join(parts, name))
    : []
  for (const file of [join(directory, 'sources.list'), ...names]) {
    if (!existsSync(file)) continue
    const text = readFileSync(file, 'utf8')
    const found = file.endsWith('.sources')
      ? fromStanzas(text, suite)
      : file.endsWith('.list')
        ? fromLines(text, suite)
        : null
    if (found !== null) return found
  }
  return null
}

/** The archive itself: neither security updates nor someone else's packages. */
function isArchive(uri: string): boolean {
  return /^(https?|mirror\+\w+|file):.*\/debian\/?$/.test(uri)
}

function fromStanzas(text: string, suite: string): Source | null {
  const stanzas = text.replace(/^#.*\n/gm, '').split(/\n\s*\n/)
  for (const stanza of stanzas) {
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza)?.[1]
    const uri = field('URIs')?.trim().split(/\s+/).find(isArchive)
    if (uri === undefined || /^no$/i.test(field('Enabled')?.trim() ?? '')) continue
    const keys = field('Signed-By')
    const lines = ['Types: deb', `URIs: ${uri}`, `Suites: ${suite}`, 'Components: main']
    return {
      format: 'sources',
      text: `${[...lines, ...(keys === undefined ? [] : [`Signed-By: ${keys}`])].join('\n')}\n`,
    }
  }
  return null
}

function fromLines(text: string, suite: string): Source | null {
  for (const line of text.split('\n')) {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+\S+/.exec(line.trim())
    if (match?.[2] === undefined || !isArchive(match[2])) continue
    const keys = /signed-by=\S+/i.exec(match[1] ?? '')?.[0]
    return {
      format: 'list',
      text: `deb ${keys === undefined ? '' : `[${keys}] `}${match[2]} ${suite} main\n`,
    }
  }
  return null
}
