import { SCRIPTS, type Shell } from '../completion/scripts.js'

export async function completion(shell: Shell): Promise<number> {
  await new Promise<void>((resolve) => process.stdout.write(SCRIPTS[shell], () => resolve()))
  return 0
}
