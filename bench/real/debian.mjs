// Packages of Debian, unpacked into a private cache directory: nothing is installed on the machine.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'

const MINUTES = 60_000
const MODULES = 'usr/lib/python3/dist-packages'

export function cacheDirectory() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'thaw-real')
}

function must(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', timeout: 10 * MINUTES, ...options })
  if (done.status === 0) return done.stdout
  const said = (done.stderr ?? '').trim().split('\n').at(-1)
  throw new Error(`${command} ${args.join(' ')}: ${said || (done.error?.message ?? `exit ${done.status}`)}`)
}

/** Makes a directory once; half-made ones of an earlier time go. */
function made(directory, make) {
  if (existsSync(directory)) return directory
  const partial = `${directory}.part`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  make(partial)
  renameSync(partial, directory)
  return directory
}

/** The unpacked files of `name=version`. */
export function unpacked(spec) {
  return made(join(cacheDirectory(), 'packages', spec.replaceAll(/[^\w.+=~-]/g, '_')), (directory) => {
    const downloads = join(cacheDirectory(), 'downloads', basename(directory))
    rmSync(downloads, { recursive: true, force: true })
    mkdirSync(downloads, { recursive: true })
    // As root, apt would fetch as a user of its own, who may not write here.
    must('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', spec], { cwd: downloads })
    for (const file of readdirSync(downloads)) must('dpkg-deb', ['-x', join(downloads, file), directory])
    rmSync(downloads, { recursive: true, force: true })
  })
}

/** An interpreter with nothing but these packages of Debian in its site-packages. */
export function interpreterWith(python, specs) {
  const name = `python-${specs.map((spec) => spec.replace(/^python3-/, '').replace(/-.*/, '')).join('-')}`
  const directory = made(join(cacheDirectory(), name), (partial) => {
    // The paths in a virtual environment's own scripts are not used, so it may be moved.
    must(python, ['-m', 'venv', '--without-pip', partial])
    const inside = join(partial, 'bin', 'python')
    const site = must(inside, ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']).trim()
    for (const spec of specs) cpSync(join(unpacked(spec), MODULES), site, { recursive: true })
  })
  return join(directory, 'bin', 'python')
}

/** Lays out a project as its description says: modules and inputs, nothing of thaw's. */
export function layOut(project) {
  const root = join(cacheDirectory(), 'projects', project.name)
  rmSync(root, { recursive: true, force: true })
  for (const [spec, paths] of Object.entries(project.files)) {
    for (const [from, to] of Object.entries(paths)) {
      const target = join(root, to)
      mkdirSync(dirname(target), { recursive: true })
      cpSync(join(unpacked(spec), from.replace(/^@/, MODULES)), target, {
        recursive: true,
        dereference: true,
        filter: (path) => !path.endsWith('__pycache__'),
      })
    }
  }
  for (const [path, text] of Object.entries(project.additions)) writeFileSync(join(root, path), text)
  return root
}
