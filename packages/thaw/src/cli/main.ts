import { carryOut } from './verbs.js'

/** `off`, by the user; `next`, by native/front: one is to stand by for the next command when this one has ended. */
const { THAW_STANDBY: standby } = process.env
if (standby === 'off' || standby === 'next') delete process.env['THAW_STANDBY']

void carryOut(process.argv.slice(2)).then(async (code) => {
  if (standby === 'next') await (await import('./successor.js')).standByNext()
  process.exit(code)
})
