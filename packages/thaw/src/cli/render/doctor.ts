import type { Finding, SettingInForce } from '@thaw/protocol'
import { table } from './table.js'

export function renderFindings(findings: readonly Finding[]): string {
  return findings
    .map((one) => {
      const fix = one.fix === null ? '' : `\n       ${one.fix}`
      return `${one.ok ? 'ok  ' : 'no  '} ${one.name}: ${one.detail}${fix}\n`
    })
    .join('')
}

export function renderSettings(settings: readonly SettingInForce[]): string {
  return table(
    ['SETTING', 'VALUE', 'FROM', 'MEANING'],
    settings.map((one) => [
      one.name,
      String(one.value),
      one.where === null ? one.source : `${one.source} (${one.where})`,
      one.help,
    ]),
  )
}
