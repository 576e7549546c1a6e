/** The repairer that was asked for. */
import type { RepairBounds, RepairBundle, Repairer } from '@thaw/protocol'
import type { Workshop } from '../../runs/workshop.js'
import { ThawError } from '../../system/index.js'
import { AnthropicWire } from './anthropic.js'
import { CallerRepairer, type CallersAnswer } from './caller.js'
import { CommandRepairer } from './command.js'
import { ModelRepairer } from './model.js'
import { OpenAiWire } from './openai.js'
import type { Answerer } from './repairer.js'

export interface Surroundings {
  shop: Workshop
  /** Of the run: keys of models are looked for in it. */
  env: Record<string, string>
  bounds: RepairBounds
  ask: (bundle: RepairBundle, directory: string) => Promise<CallersAnswer>
}

/** @throws ThawError REPAIRER_MISSING */
export function openRepairer(wanted: Repairer, { shop, env, bounds, ask }: Surroundings): Answerer {
  const key = (name: string) => {
    const found = env[name]
    if (found !== undefined && found !== '') return found
    throw new ThawError('REPAIRER_MISSING', `${name} is not set, which the model's endpoint asks for.`)
  }
  switch (wanted.kind) {
    case 'command':
      return new CommandRepairer(shop, wanted.command, env)
    case 'caller':
      return new CallerRepairer(ask)
    case 'openai': {
      // Servers of one's own often want none.
      const own = wanted.url ?? env['OPENAI_BASE_URL']
      const wire = new OpenAiWire(wanted, own ? env['OPENAI_API_KEY'] || 'none' : key('OPENAI_API_KEY'), env)
      return new ModelRepairer(wire, { prices: wanted.prices, bounds })
    }
    case 'anthropic': {
      const wire = new AnthropicWire(wanted, key('ANTHROPIC_API_KEY'), env)
      return new ModelRepairer(wire, { prices: wanted.prices, bounds })
    }
    case 'none':
      throw new ThawError('REPAIRER_MISSING', 'The program failed, and nobody is there to repair it.')
  }
}
