export interface Message {
  id: string;
  channel: "email" | "sms";
  to: string;
  purpose: string;
  code: string | null;
  subject: string | null;
  text: string;
  html: string | null;
  created_at: string;
}

export type State = "enabled" | "disabled" | "enabledForReportingButNotEnforced";

export declare function start(how?: { command?: string[]; data?: string }): Promise<Genkan>;

export declare class Genkan {
  constructor(told: Record<string, any>, stop?: () => Promise<void>);
  readonly told: Record<string, any>;
  readonly baseUrl: string;
  readonly authority: string;
  readonly otpApp: string;
  readonly passwordApp: string;
  readonly scope: string;
  stop(): Promise<void>;
  mailbox(to: string): Promise<Mailbox>;
  messages(which?: { to?: string; channel?: string; after?: string; query?: string }): Promise<Message[]>;
  wait(which?: { to?: string; channel?: string; after?: string; seconds?: number }): Promise<Message[]>;
  clear(): Promise<void>;
  advance(seconds: number): Promise<Date>;
  place(where?: { country?: string | null; address?: string | null }): Promise<void>;
  failDelivery(failing?: boolean): Promise<void>;
  policies(): Promise<Array<Record<string, any>>>;
  switchPolicy(id: string, state: State): Promise<void>;
  story(correlationId: string): Promise<Array<Record<string, any>>>;
  reset(): Promise<void>;
}

export declare class Mailbox {
  constructor(genkan: Genkan, to: string, last?: string);
  readonly to: string;
  next(how?: { seconds?: number }): Promise<Message>;
  code(how?: { seconds?: number }): Promise<string>;
}
