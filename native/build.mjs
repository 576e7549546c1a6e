// `npm run native`: builds the static programs of native/ into packages/thaw/native, for users who have no compiler.
// Needs Debian's musl-tools; for arm64, gcc-aarch64-linux-gnu and the directory of an unpacked musl-dev:arm64 in MUSL_ARM64.
import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..')
/** The owner and PID 1 of a sandbox; the first process of a machine; the front of the command line. */
export const programs = ['sandbox', 'guest', 'front']

/** Digest of everything a binary is made of. */
export function sourceDigest(program) {
  const sources = join(here, program)
  const hash = createHash('sha256')
  for (const name of readdirSync(sources).sort())
    hash.update(`${name}\0`).update(readFileSync(join(sources, name)))
  return hash.digest('hex')
}

const FLAGS = ['-std=gnu11', '-Os', '-static', '-s', '-Wall', '-Wextra', '-Werror']
const reproducible = (sources) => ['-ffile-prefix-map=' + sources + '=.', '-Wl,--build-id=none']

export const targets = {
  x64: { compiler: 'musl-gcc', flags: [] },
  arm64: {
    compiler: 'aarch64-linux-gnu-gcc',
    flags: (musl) => {
      const lib = join(musl, 'usr', 'lib', 'aarch64-linux-musl')
      const include = join(musl, 'usr', 'include', 'aarch64-linux-musl')
      const start = [join(lib, 'crt1.o'), join(lib, 'crti.o')]
      return [
        '-nostdinc',
        '-isystem',
        include,
        '-nostdlib',
        '-no-pie',
        '-fno-pie',
        '-mno-outline-atomics',
      ].concat(start)
    },
    last: (musl) => {
      const lib = join(musl, 'usr', 'lib', 'aarch64-linux-musl')
      return [join(lib, 'libc.a'), '-lgcc', join(lib, 'crtn.o')]
    },
  },
}

/** Builds a program for one architecture. Returns the binary, or null where its compiler is missing. */
export function build(program, arch) {
  const sources = join(here, program)
  const { compiler, flags, last } = targets[arch]
  const musl = process.env.MUSL_ARM64
  if (arch === 'arm64' && musl === undefined) return null
  const temp = mkdtempSync(join(tmpdir(), 'thaw-native-'))
  try {
    const out = join(temp, program)
    const files = readdirSync(sources)
      .filter((name) => name.endsWith('.c'))
      .sort()
    const extra = typeof flags === 'function' ? flags(musl) : flags
    const args = [...FLAGS, ...reproducible(sources), ...extra, '-o', out, ...files, ...(last?.(musl) ?? [])]
    const done = spawnSync(compiler, args, { cwd: sources, stdio: ['ignore', 'inherit', 'inherit'] })
    if (done.error?.code === 'ENOENT') return null
    if (done.status !== 0) throw new Error(`${compiler} failed`)
    return readFileSync(out)
  } finally {
    rmSync(temp, { recursive: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const all = programs.flatMap((program) => Object.keys(targets).map((arch) => ({ program, arch })))
  for (const { program, arch } of all) {
    const binary = build(program, arch)
    if (binary === null) {
      console.error(`${arch}: ${program} not built, ${targets[arch].compiler} or its C library is missing`)
      continue
    }
    const file = join(root, 'packages', 'thaw', 'native', arch, program)
    mkdirSync(dirname(file), { recursive: true })
    // Renamed into place: the one that is there may be running.
    writeFileSync(`${file}.new`, binary)
    chmodSync(`${file}.new`, 0o755)
    renameSync(`${file}.new`, file)
    writeFileSync(`${file}.source`, `${sourceDigest(program)}\n`)
    console.error(`${arch}: ${program}, ${binary.length} bytes`)
  }
}
