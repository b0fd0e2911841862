/** A text that was written for a terminal, with its colours. */

import type { JSX } from "preact";
import { Fragment } from "preact";

import { type Span, type Style, terminalLines } from "./terminal";

export function TerminalText(props: { text: string; between?: string }): JSX.Element {
  return <Lines of={terminalLines(props.text)} between={props.between ?? "\n"} />;
}

function Lines(props: { of: readonly Span[][]; between: string }): JSX.Element {
  return (
    <>
      {props.of.map((line, at) => (
        <Fragment key={at}>
          {at > 0 && props.between}
          {line.map(({ text, style }, index) => {
            const classes = classesOf(style);
            return classes ? (
              <span key={index} class={classes}>
                {text}
              </span>
            ) : (
              text
            );
          })}
        </Fragment>
      ))}
    </>
  );
}

function classesOf({ color, ...rest }: Style): string {
  return [...(color ? [color] : []), ...Object.keys(rest)].map((name) => `terminal-${name}`).join(" ");
}
