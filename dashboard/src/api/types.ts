/** Made of ml_dash/shapes.py by `make types-dashboard`: change that instead. */

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * Alerts
         * @description A page of alerts.
         */
        Alerts: {
            startIndex: number;
            /** @description The last row's index; read on from the next. */
            endIndex: number;
            total: number;
            hasMore: boolean;
            data: components["schemas"]["AlertRow"][];
        };
        /**
         * AlertRow
         * @description An alert that a script has logged; `held` is how many of its title were held back before it.
         */
        AlertRow: {
            index: number;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            timestamp: string;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            level: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            title: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            text: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            held: unknown;
        };
        /**
         * AskedBlobs
         * @description Blobs that a client has.
         */
        AskedBlobs: {
            contents: components["schemas"]["Blob"][];
        };
        /**
         * Blob
         * @description What a file holds.
         */
        Blob: {
            /** @description A SHA-256 in 64 lower-case hexadecimal digits. */
            checksum: string;
            sizeBytes: number;
        };
        /**
         * AskedPanels
         * @description Charts, those first that are seen first.
         */
        AskedPanels: {
            panels: components["schemas"]["AskedPanel"][];
        };
        /**
         * AskedPanel
         * @description A chart of several lines.
         */
        AskedPanel: {
            lines: components["schemas"]["AskedLine"][];
            /**
             * @description index, step, time, relative, the name of a field, or another metric's as metric/field: see the HTTP API's page on charts.
             * @default step
             */
            x?: string;
            /** @default null */
            start?: number | null;
            /** @default null */
            stop?: number | null;
            /**
             * @description Points of a line at most.
             * @default 1000
             */
            width?: number;
            /** @default null */
            smooth?: components["schemas"]["Smoothing"] | null;
        };
        /**
         * AskedLine
         * @description A field of a metric, or an expression, of an experiment; or of several together, which is a band.
         *
         *     The name of the unnamed metric is null.
         */
        AskedLine: {
            /** @default null */
            experiment?: string | null;
            /** @default null */
            experiments?: string[] | null;
            /** @default null */
            metric?: string | null;
            /** @default null */
            field?: string | null;
            /** @default null */
            expression?: string | null;
            /** @default null */
            attempt?: string | null;
            /** @default null */
            rank?: number | null;
            /**
             * @description What a member of a band has between two of its points: what lies between, or the first.
             * @default linear
             * @enum {unknown}
             */
            fill?: "last" | "linear";
            /** @default null */
            after?: string | null;
        };
        /**
         * Smoothing
         * @description How a line is smoothed, over all of its series: neither the range nor the width changes it.
         */
        Smoothing: {
            /** @enum {unknown} */
            kind: "ema" | "gaussian" | "mean";
            /** @description For ema a weight from 0 to below 1; for mean the width of the interval, and for gaussian the standard deviation, in units of x. */
            amount: number;
        };
        /**
         * AskedValues
         * @description The experiments, and the fields of metrics, whose values are asked for.
         */
        AskedValues: {
            ids: string[];
            /** @default [] */
            metrics?: components["schemas"]["MetricField"][];
        };
        /**
         * MetricField
         * @description A field of a metric; the name of the unnamed metric is null.
         */
        MetricField: {
            name: string | null;
            field: string;
        };
        /**
         * Attempts
         * @description A page of attempts.
         */
        Attempts: {
            data: components["schemas"]["Attempt"][];
            total: number;
        };
        /**
         * Attempt
         * @description A start of a run, with those that went on beside it.
         */
        Attempt: {
            /** @description In order of time; one that comes late gets its place. */
            number: number;
            status: string | null;
            /** @description It has not ended, as far as its rows tell, and does not go on. */
            stale: boolean;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            startedAt: string;
            endedAt: string | null;
            host: string | null;
            error: string | null;
            /** @description The step from which on it supersedes the rows of earlier ones. */
            resumeFrom: number | null;
        };
        /**
         * Kind
         * @description What a series holds. The numbers are part of the journal's format: never reuse one.
         * @enum {unknown}
         */
        Kind: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;
        /**
         * BodyPiece
         * @description A piece of a body that is kept.
         */
        BodyPiece: {
            offset: number;
            sizeBytes: number;
        };
        /**
         * ChangedRule
         * @description What a rule is to be from now on, all of it; without `to`, whom it tells stays.
         */
        ChangedRule: {
            name: string;
            /** @enum {unknown} */
            when: "above" | "alert" | "below" | "failed" | "nonfinite" | "silent";
            /**
             * @description Which of the owner's experiments.
             * @default
             */
            filter?: string;
            /** @default null */
            metric?: string | null;
            /** @default null */
            bound?: number | null;
            /** @default null */
            minutes?: number | null;
            /** @default null */
            level?: ("error" | "info" | "warning") | null;
            /** @default null */
            rearmMinutes?: number | null;
            /** @default null */
            to?: components["schemas"]["Destination"] | null;
        };
        /**
         * Destination
         * @description Whom a rule tells. Neither the URL nor the secret is shown again.
         */
        Destination: {
            /** @enum {unknown} */
            kind: "mail" | "slack" | "webhook";
            /** @default null */
            url?: string | null;
            /** @default null */
            address?: string | null;
            /** @default null */
            secret?: string | null;
        };
        /**
         * Console
         * @description A page of printed lines.
         */
        Console: {
            startIndex: number;
            /** @description The last row's index; read on from the next. */
            endIndex: number;
            total: number;
            hasMore: boolean;
            data: components["schemas"]["ConsoleRow"][];
        };
        /**
         * ConsoleRow
         * @description A line that the script printed.
         */
        ConsoleRow: {
            index: number;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            timestamp: string;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            stream: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            text: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            rank: unknown;
        };
        /**
         * CreatedToken
         * @description A new token. Its text is in no later answer.
         */
        CreatedToken: {
            tokenId: string;
            name: string;
            admin: boolean;
            grants: components["schemas"]["Grant"][];
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            expiresAt: string | null;
            createdBy: string | null;
            revokedAt: string | null;
            lastUsedAt: string | null;
            token: string;
        };
        /**
         * Grant
         * @description What a token may do with the experiments of an owner.
         */
        Grant: {
            /** @description Whose experiments; * stands for all owners. */
            owner: string;
            /** @enum {unknown} */
            scope: "admin" | "read" | "write";
        };
        /**
         * DeletedExperiment
         * @description An experiment that was deleted, and can be restored.
         */
        DeletedExperiment: {
            id: string;
            prefix: string;
            owner: string;
            project: string;
            folder: string;
            name: string;
            tags: string[];
            bindrs: string[];
            metadata: {
                [key: string]: unknown;
            } | null;
            status: string | null;
            stale: boolean;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            startedAt: string | null;
            endedAt: string | null;
            lastActivity: string | null;
            host: string | null;
            error: string | null;
            /** @description Of its metrics. */
            rows: number;
            /** @description Of all kinds: events (rows, messages, parameters, and so on), and signs of life. */
            entries: number;
            /** @description How often a run of it was started. */
            attempts: number;
            deletedAt: string | null;
            /** @description How many its script has logged; older servers lack it. */
            alerts?: number;
            /** @description Who has asked its newest attempt to stop; null where nobody has; older servers lack it. */
            stop?: components["schemas"]["Stop"] | null;
            problem?: string | null;
            /** @description Why rows are missing that a dead process has logged; only from a local root. */
            missing?: string[];
            /** @description Those that were asked for as columns. */
            params?: {
                [key: string]: unknown;
            };
            /** @description The fields that were asked for as columns, by the names of their metrics, of which the unnamed one's is empty. */
            metrics?: {
                [key: string]: {
                    [key: string]: components["schemas"]["FieldSummary"];
                };
            };
            /** @description Which value was defined as the best, of the fields asked for. */
            best?: components["schemas"]["BestOf"][];
            readme: string | null;
            /** @description What people have written of it, in Markdown; the readme is the run's own. */
            note: string | null;
            /** @description When its rows are removed for good; null for one whose rows stay. */
            purgeAt: string | null;
        };
        /**
         * Stop
         * @description A request to a run to stop.
         */
        Stop: {
            /** @description ISO 8601, UTC, with microseconds and Z. */
            at: string;
            /** @description The name of the token, or of the user whose disk it is. */
            by: string | null;
            reason: string | null;
            /** @description When a process of the run has seen it; null as long as none has. */
            seenAt: string | null;
        };
        /**
         * FieldSummary
         * @description What is known of a metric's field. NaN is in no minimum, maximum, sum and mean; what there is none of is null.
         */
        FieldSummary: {
            /** @description Numbers, NaN included. A bool counts as 0 or 1. */
            count: number;
            nan: number;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            first: unknown;
            /** @description A number; or a text, of which this is the beginning. */
            last: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            min: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            max: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            total: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            mean: unknown;
            /** @description What its row calls step, else the row's index. */
            firstStep: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            lastStep: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            minStep: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            maxStep: unknown;
        };
        /**
         * BestOf
         * @description Which value of a metric's field is the best; the name of the unnamed metric is null.
         */
        BestOf: {
            metric: string | null;
            field: string;
            /** @enum {unknown} */
            value: "last" | "max" | "min";
        };
        /**
         * DeletedRule
         * @description A rule that is gone.
         */
        DeletedRule: {
            deleted: boolean;
        };
        /**
         * DeletedView
         * @description A view that is gone.
         */
        DeletedView: {
            deleted: boolean;
        };
        /**
         * DeviceAuthorization
         * @description A login that has begun (RFC 8628).
         */
        DeviceAuthorization: {
            device_code: string;
            user_code: string;
            verification_uri: string;
            verification_uri_complete: string;
            /** @description Seconds. */
            expires_in: number;
            /** @description Seconds to wait between two polls. */
            interval: number;
        };
        /**
         * DeviceToken
         * @description The token of a login (RFC 8628).
         */
        DeviceToken: {
            access_token: string;
            token_type: string;
            scope: string;
            /** @description Seconds; absent if the token does not expire. */
            expires_in?: number;
        };
        /**
         * Entries
         * @description A page of entries of a track, by time.
         */
        Entries: {
            entries: {
                [key: string]: unknown;
            }[];
            /** @description How many entries are in this page. */
            count: number;
            hasMore: boolean;
            /** @description Where the page ends, also that of the last one; null where no entry is in it. */
            cursor: string | null;
        };
        /**
         * Environments
         * @description A page of environments.
         */
        Environments: {
            data: components["schemas"]["Environment"][];
            total: number;
        };
        /**
         * Environment
         * @description What surrounded a process of the experiment.
         */
        Environment: {
            /** @description The number of its attempt; null where its start is lost. */
            attempt: number | null;
            rank: number | null;
            host: string | null;
            pid: number | null;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description command, python, packages, git, cpu, gpus, … as far as they were captured. */
            environment: {
                [key: string]: unknown;
            };
        };
        /**
         * Error
         * @description An answer that is an error.
         */
        Error: {
            error: components["schemas"]["ErrorDetails"];
        };
        /**
         * ErrorDetails
         * @description What went wrong. Some codes come with further fields, such as `retryAfter`.
         */
        ErrorDetails: {
            code: components["schemas"]["ErrorCode"];
            /** @description A sentence for people; it names the value and the remedy. */
            message: string;
        };
        /**
         * ErrorCode
         * @description The ``code`` of an error's body ``{"error": {"code", "message", …}}``.
         * @enum {unknown}
         */
        ErrorCode: "busy" | "changed" | "checksum_mismatch" | "content_lost" | "content_missing" | "damaged" | "disk_full" | "exists" | "fenced" | "forbidden" | "gap" | "gone" | "internal" | "invalid" | "malformed" | "no_route" | "not_found" | "not_stopped" | "parts_missing" | "quota_exceeded" | "running" | "too_large" | "unauthorized";
        /**
         * Experiment
         * @description An experiment.
         */
        Experiment: {
            id: string;
            prefix: string;
            owner: string;
            project: string;
            folder: string;
            name: string;
            tags: string[];
            bindrs: string[];
            metadata: {
                [key: string]: unknown;
            } | null;
            status: string | null;
            stale: boolean;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            startedAt: string | null;
            endedAt: string | null;
            lastActivity: string | null;
            host: string | null;
            error: string | null;
            /** @description Of its metrics. */
            rows: number;
            /** @description Of all kinds: events (rows, messages, parameters, and so on), and signs of life. */
            entries: number;
            /** @description How often a run of it was started. */
            attempts: number;
            deletedAt: string | null;
            /** @description How many its script has logged; older servers lack it. */
            alerts?: number;
            /** @description Who has asked its newest attempt to stop; null where nobody has; older servers lack it. */
            stop?: components["schemas"]["Stop"] | null;
            problem?: string | null;
            /** @description Why rows are missing that a dead process has logged; only from a local root. */
            missing?: string[];
            /** @description Those that were asked for as columns. */
            params?: {
                [key: string]: unknown;
            };
            /** @description The fields that were asked for as columns, by the names of their metrics, of which the unnamed one's is empty. */
            metrics?: {
                [key: string]: {
                    [key: string]: components["schemas"]["FieldSummary"];
                };
            };
            /** @description Which value was defined as the best, of the fields asked for. */
            best?: components["schemas"]["BestOf"][];
            readme: string | null;
            /** @description What people have written of it, in Markdown; the readme is the run's own. */
            note: string | null;
        };
        /**
         * Experiments
         * @description A page of experiments.
         */
        Experiments: {
            data: components["schemas"]["ListedExperiment"][];
            total: number;
            hasMore: boolean;
            cursor: string | null;
            /** @description With which to ask later for what has changed. */
            asOf: string;
            /** @description Whether rows of an older version of the server are still being read, so that filter, order and columns may lack some of what is stored. Only with one of these. */
            pending?: boolean;
        };
        /**
         * ListedExperiment
         * @description An experiment, as lists have it.
         */
        ListedExperiment: {
            id: string;
            prefix: string;
            owner: string;
            project: string;
            folder: string;
            name: string;
            tags: string[];
            bindrs: string[];
            metadata: {
                [key: string]: unknown;
            } | null;
            status: string | null;
            stale: boolean;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            startedAt: string | null;
            endedAt: string | null;
            lastActivity: string | null;
            host: string | null;
            error: string | null;
            /** @description Of its metrics. */
            rows: number;
            /** @description Of all kinds: events (rows, messages, parameters, and so on), and signs of life. */
            entries: number;
            /** @description How often a run of it was started. */
            attempts: number;
            deletedAt: string | null;
            /** @description How many its script has logged; older servers lack it. */
            alerts?: number;
            /** @description Who has asked its newest attempt to stop; null where nobody has; older servers lack it. */
            stop?: components["schemas"]["Stop"] | null;
            problem?: string | null;
            /** @description Why rows are missing that a dead process has logged; only from a local root. */
            missing?: string[];
            /** @description Those that were asked for as columns. */
            params?: {
                [key: string]: unknown;
            };
            /** @description The fields that were asked for as columns, by the names of their metrics, of which the unnamed one's is empty. */
            metrics?: {
                [key: string]: {
                    [key: string]: components["schemas"]["FieldSummary"];
                };
            };
            /** @description Which value was defined as the best, of the fields asked for. */
            best?: components["schemas"]["BestOf"][];
            readme?: string | null;
            note?: string | null;
        };
        /**
         * File
         * @description One version of a file.
         */
        File: {
            id: string;
            path: string;
            filename: string;
            description: string | null;
            tags: string[];
            bindrs: string[];
            contentType: string;
            sizeBytes: number;
            /** @description A SHA-256 in 64 lower-case hexadecimal digits. */
            checksum: string;
            metadata: {
                [key: string]: unknown;
            } | null;
            /** @description Those that mean this version of its name. */
            aliases: string[];
            /** @description ISO 8601, UTC, with microseconds and Z. */
            uploadedAt: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            deletedAt: string | null;
            /** @description Whether the server has what the file holds. */
            available: boolean;
        };
        /**
         * Files
         * @description A page of files.
         */
        Files: {
            data: components["schemas"]["File"][];
            total: number;
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * Groups
         * @description Groups, in the order of their keys.
         */
        Groups: {
            data: components["schemas"]["Group"][];
            /** @description Experiments that are asked for. */
            total: number;
            /** @description How many groups there are: of very many not all are told. */
            groups: number;
            /** @description More experiments are asked for than are put into groups. */
            isPart: boolean;
        };
        /**
         * Group
         * @description Experiments that have the same values.
         */
        Group: {
            key: {
                [key: string]: unknown;
            };
            count: number;
            /** @description Their ids, the newest first; of very many not all are told. */
            members: string[];
            columns: components["schemas"]["GroupColumn"][];
        };
        /**
         * GroupColumn
         * @description A field of a metric, summed up over the members of a group.
         */
        GroupColumn: {
            metric: string | null;
            field: string;
            last: components["schemas"]["Summed"];
            min: components["schemas"]["Summed"];
            max: components["schemas"]["Summed"];
            mean: components["schemas"]["Summed"];
        };
        /**
         * Summed
         * @description Numbers of several experiments together; std is that of a sample, and what there is none of is null.
         */
        Summed: {
            count: number;
            mean: number | null;
            std: number | null;
            /** @description As it was logged. */
            min: number | null;
            max: number | null;
        };
        /**
         * Health
         * @description The server is there.
         */
        Health: {
            status: string;
            server: string;
            version: string;
            api: string[];
        };
        /**
         * History
         * @description A page of what was done with an experiment, the newest first.
         */
        History: {
            data: components["schemas"]["Change"][];
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * Change
         * @description What somebody has done with an experiment.
         */
        Change: {
            number: number;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            at: string;
            /** @enum {unknown} */
            action: "delete" | "move" | "note" | "readme" | "restore" | "stop" | "tag";
            /** @description What the token was called that was used. */
            who: string;
            tokenId: string;
            details: {
                [key: string]: unknown;
            };
        };
        /**
         * Importance
         * @description How much parameters matter, those first that matter most.
         */
        Importance: {
            data: components["schemas"]["ParamImportance"][];
            /** @description How many have the metric. */
            runs: number;
            /** @description Experiments that are asked for. */
            total: number;
            /** @description More experiments are asked for than are looked at. */
            isPart: boolean;
            forest: components["schemas"]["Forest"];
        };
        /**
         * ParamImportance
         * @description How much a parameter matters for a metric; null where nothing can be said.
         */
        ParamImportance: {
            param: string;
            /** @description Those that have both, for the correlations. */
            runs: number;
            /** @description Pearson's, of numbers. */
            correlation: number | null;
            /** @description Spearman's, of numbers. */
            rankCorrelation: number | null;
            /** @description By how much a random forest predicts worse runs that it has not seen, where this parameter's values are shuffled: as a share of the metric's variance. */
            importance: number | null;
            /** @description Over several forests, and several times each. */
            importanceStd: number | null;
        };
        /**
         * Forest
         * @description How well a random forest predicts the metric of runs that it has not seen.
         */
        Forest: {
            /** @description The share of the variance that it explains (R²). */
            score: number | null;
            /** @description Why there is none, or why it means nothing. */
            why: string | null;
        };
        /**
         * LackingBlobs
         * @description Those of them that the server does not have.
         */
        LackingBlobs: {
            lacking: string[];
        };
        /**
         * Lines
         * @description The lines of charts, as many as there was room and time for.
         */
        Lines: {
            data: components["schemas"]["Line"][];
            /** @description The others, by panel and line: ask again for these. */
            rest: [
                number,
                number
            ][];
        };
        /**
         * Line
         * @description A line, or why there is none.
         */
        Line: {
            /** @description Of which of the panels that were asked for, from 0 on. */
            panel: number;
            /** @description Which of its lines, from 0 on. */
            line: number;
            error?: components["schemas"]["ErrorDetails"];
            /** @description All is as it was by the cursor that was given. */
            unchanged?: boolean;
            /** @description Give it as after to be told what is new. */
            cursor?: string;
            /** @description index where steps were asked for, and rows have none. */
            x?: string;
            /** @description Rows that have a value, in range. */
            points?: number;
            /** @enum {unknown} */
            resolution?: "buckets" | "rows";
            exact?: boolean;
            /** @description Over how much of x one point tells; a power of two. */
            cell?: number;
            /** @description So many points of the answer before stay; columns begin behind them. */
            first?: number;
            /** @description x, y, min, max, count, nan, posInf, negInf, smooth. Without min, max and count each point is one row; without nan, posInf or negInf there are none of these. Of a band x, y (the mean), std, min, max and count (of runs). */
            columns?: {
                [key: string]: components["schemas"]["Column"];
            };
            /** @description How many rows a later attempt has superseded; absent where there are none. */
            superseded?: number;
            runs?: components["schemas"]["BandRuns"];
        };
        /**
         * Column
         * @description A number for each point.
         */
        Column: {
            /** @enum {unknown} */
            type: "float32" | "float64" | "uint32";
            /** @description In msgpack the numbers as bytes, little-endian, and NaN where there is none; in JSON a list, and null where there is none. */
            data: unknown;
        };
        /**
         * BandRuns
         * @description How many experiments a band was asked for, and how many have points in it.
         */
        BandRuns: {
            asked: number;
            drawn: number;
        };
        /**
         * Logs
         * @description A page of log rows.
         */
        Logs: {
            startIndex: number;
            /** @description The last row's index; read on from the next. */
            endIndex: number;
            total: number;
            hasMore: boolean;
            data: components["schemas"]["LogRow"][];
        };
        /**
         * LogRow
         * @description A log row.
         */
        LogRow: {
            index: number;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            timestamp: string;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            level: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            message: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            metadata: unknown;
        };
        /**
         * MetricNames
         * @description Metrics by their names.
         */
        MetricNames: {
            /** @description As rules and filters write them: `val/loss`. */
            data: string[];
            /** @description Whether there may be more. */
            hasMore: boolean;
        };
        /**
         * Metrics
         * @description A page of metrics, in order of first appearance; ask for more by how many are known.
         */
        Metrics: {
            data: components["schemas"]["Metric"][];
            total: number;
        };
        /**
         * Metric
         * @description A metric.
         */
        Metric: {
            name: string | null;
            count: number;
            fields: string[];
            /** @description ISO 8601, UTC, with microseconds and Z. */
            firstDataAt: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            lastDataAt: string;
        };
        /**
         * MissingBlobs
         * @description A page of the blobs that files name, and that the server does not have.
         */
        MissingBlobs: {
            data: components["schemas"]["Blob"][];
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * MoveTo
         * @description A new name for an experiment.
         */
        MoveTo: {
            /** @description In full, of the same owner: owner/project/path…/name. */
            to: string;
        };
        /**
         * NewExperiment
         * @description An experiment to create, or what to change of it; what is left out or null stays.
         */
        NewExperiment: {
            /** @description In full: owner/project/path…/name. */
            prefix: string;
            /** @default null */
            readme?: string | null;
            /** @default null */
            tags?: string[] | null;
            /** @default null */
            bindrs?: string[] | null;
            /** @default null */
            metadata?: Record<string, never> | null;
            /**
             * @description Bring it back, with its data, if it was deleted.
             * @default false
             */
            recreate?: boolean;
            /**
             * @description Begin a new one under its name, without its data, if it was deleted.
             * @default false
             */
            anew?: boolean;
            /**
             * @description Answer by 409 where there is one, and it was not deleted: of several, one gets it.
             * @default false
             */
            onlyNew?: boolean;
            /** @default null */
            saidNs?: components["schemas"]["SaidTimes"] | null;
        };
        /**
         * SaidTimes
         * @description When a description was said, in nanoseconds since the epoch, by the clock that `ML-Dash-Clock` gives.
         */
        SaidTimes: {
            /** @default null */
            readme?: number | null;
            /** @default null */
            tags?: number | null;
            /** @default null */
            bindrs?: number | null;
            /** @default null */
            metadata?: number | null;
        };
        /**
         * NewLimits
         * @description What to change of an owner's limits, in bytes; null is no limit.
         */
        NewLimits: {
            quotaBytes?: number | null;
            fileBytes?: number | null;
        };
        /**
         * NewNote
         * @description A note; an empty text takes it away.
         */
        NewNote: {
            /** @description In Markdown. */
            note: string;
            /** @default null */
            before?: string | null;
        };
        /**
         * NewReadme
         * @description A readme; an empty text takes it away.
         */
        NewReadme: {
            /** @description In Markdown. */
            readme: string;
            /** @default null */
            before?: string | null;
        };
        /**
         * NewRule
         * @description A rule to make.
         */
        NewRule: {
            name: string;
            /** @enum {unknown} */
            when: "above" | "alert" | "below" | "failed" | "nonfinite" | "silent";
            /**
             * @description Which of the owner's experiments.
             * @default
             */
            filter?: string;
            /** @default null */
            metric?: string | null;
            /** @default null */
            bound?: number | null;
            /** @default null */
            minutes?: number | null;
            /** @default null */
            level?: ("error" | "info" | "warning") | null;
            /** @default null */
            rearmMinutes?: number | null;
            owner: string;
            to: components["schemas"]["Destination"];
        };
        /**
         * NewSession
         * @description The token with which a browser signs in.
         */
        NewSession: {
            token: string;
        };
        /**
         * NewStop
         * @description A request to a run to stop.
         */
        NewStop: {
            /** @default null */
            reason?: string | null;
            /**
             * @description Whether the request is taken back, which no process of the run has seen yet.
             * @default false
             */
            cancel?: boolean;
        };
        /**
         * NewTags
         * @description Tags to change: first all are replaced, if `only` is given, then some are taken away, then some are added.
         */
        NewTags: {
            /** @default null */
            only?: string[] | null;
            /** @default [] */
            remove?: string[];
            /** @default [] */
            add?: string[];
        };
        /**
         * NewToken
         * @description A token to create.
         */
        NewToken: {
            name: string;
            /** @default [] */
            grants?: components["schemas"]["Grant"][];
            /** @default false */
            admin?: boolean;
            /** @default null */
            expiresIn?: number | null;
        };
        /**
         * NewUpload
         * @description How large a blob is whose parts are about to be sent.
         */
        NewUpload: {
            sizeBytes: number;
        };
        /**
         * NewView
         * @description A view to save.
         */
        NewView: {
            name: string;
            /** @description Of which version of the pages it is. */
            format: number;
            state: Record<string, never>;
            /** @default false */
            default?: boolean;
        };
        /**
         * OAuthError
         * @description An error of the device flow (RFC 8628).
         */
        OAuthError: {
            error: string;
            error_description: string;
        };
        /**
         * OwnerLimits
         * @description What an owner has stored and may store, in bytes; null is no limit.
         */
        OwnerLimits: {
            owner: string;
            usedBytes: number;
            quotaBytes: number | null;
            fileBytes: number | null;
        };
        /**
         * Params
         * @description A page of flat parameters.
         */
        Params: {
            params: {
                [key: string]: unknown;
            };
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * Part
         * @description A part that is stored.
         */
        Part: {
            part: number;
        };
        /**
         * Ranks
         * @description A page of the ranks that have logged rows of a metric, in order; ask for more by how many are known.
         */
        Ranks: {
            data: components["schemas"]["RankRows"][];
            total: number;
        };
        /**
         * RankRows
         * @description How many rows of a metric a rank has logged; null stands for processes without a rank.
         */
        RankRows: {
            rank: number | null;
            count: number;
        };
        /**
         * Ready
         * @description The server can store.
         */
        Ready: {
            status: string;
        };
        /**
         * RestoreTo
         * @description Under which name a deleted experiment comes back.
         */
        RestoreTo: {
            /**
             * @description In full; null for the name that it had.
             * @default null
             */
            to?: string | null;
        };
        /**
         * Revoked
         * @description A token that is not valid any more.
         */
        Revoked: {
            tokenId: string;
            revoked: boolean;
        };
        /**
         * Rows
         * @description A page of rows of a metric.
         */
        Rows: {
            startIndex: number;
            /** @description The last row's index; read on from the next. */
            endIndex: number;
            total: number;
            hasMore: boolean;
            data: components["schemas"]["Row"][];
            /** @description How many rows a later attempt has superseded; absent where there are none. */
            superseded?: number;
        };
        /**
         * Row
         * @description A row of a metric.
         */
        Row: {
            index: number;
            data: {
                [key: string]: unknown;
            };
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description Of the process that has logged it. */
            rank?: number;
            /** @description What was asked for; null where there is none yet. */
            x?: unknown;
        };
        /**
         * Rule
         * @description A rule.
         */
        Rule: {
            id: string;
            owner: string;
            name: string;
            filter: string;
            /** @enum {unknown} */
            when: "above" | "alert" | "below" | "failed" | "nonfinite" | "silent";
            metric: string | null;
            bound: number | null;
            minutes: number | null;
            level: ("error" | "info" | "warning") | null;
            rearmMinutes: number | null;
            to: components["schemas"]["ShownDestination"];
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description What the token is called that it was made with. */
            who: string;
            /** @description How often it was made and changed. */
            version: number;
            changedAt: string | null;
            /** @description What the token is called that it was changed with last. */
            changedBy: string | null;
            /** @description How often, in the last month, since it waits for what it waits for. */
            fired: number;
            /** @description When a message was made last. */
            lastFiredAt: string | null;
            /** @description When a message was taken last. */
            lastDeliveredAt: string | null;
            /** @description Why the last message was not taken, or the filter not understood. */
            problem: string | null;
        };
        /**
         * ShownDestination
         * @description Whom a rule tells, without its secrets.
         */
        ShownDestination: {
            /** @enum {unknown} */
            kind: "mail" | "slack" | "webhook";
            /** @description The address of mail; of a URL, the server. */
            shown: string;
            /** @description Whether messages are signed. */
            signed: boolean;
        };
        /**
         * Rules
         * @description Rules, the oldest first.
         */
        Rules: {
            data: components["schemas"]["Rule"][];
        };
        /**
         * Run
         * @description The status of an experiment's run.
         */
        Run: {
            status: string | null;
            startedAt: string | null;
            endedAt: string | null;
            lastActivity: string | null;
            host: string | null;
            pid: number | null;
            /** @description It is marked as running, but sends no heartbeat. */
            stale: boolean;
            error: string | null;
            writers: number;
            attempts: number;
        };
        /**
         * Series
         * @description One field of a metric, ready to be drawn.
         */
        Series: {
            field: string;
            x: string;
            start: number | null;
            stop: number | null;
            width: number;
            rows: number;
            points: number;
            /** @enum {unknown} */
            resolution: "buckets" | "rows";
            exact: boolean;
            buckets: components["schemas"]["Buckets"];
            /** @description How many rows a later attempt has superseded; absent where there are none. */
            superseded?: number;
            /** @description With by=rank: one for each of the first ranks, with fewer pixels. */
            lines?: components["schemas"]["RankLine"][];
        };
        /**
         * Buckets
         * @description The points of a chart, a list for each column; a pixel in which nothing lies is left out.
         */
        Buckets: {
            x: number[];
            xMin: number[];
            xMax: number[];
            count: number[];
            min: (number | null)[];
            max: (number | null)[];
            mean: (number | null)[];
            first: (number | null)[];
            last: (number | null)[];
            nan: number[];
            posInf: number[];
            negInf: number[];
        };
        /**
         * RankLine
         * @description What one rank has logged of a field, ready to be drawn.
         */
        RankLine: {
            rank: number;
            points: number;
            /** @enum {unknown} */
            resolution: "buckets" | "rows";
            exact: boolean;
            buckets: components["schemas"]["Buckets"];
        };
        /**
         * Session
         * @description Who is signed in with a browser.
         */
        Session: {
            signedIn: boolean;
            /** @enum {unknown} */
            mode: "local" | "server";
            name: string | null;
            version: string;
            /** @description Owners whose experiments may be changed with it; * stands for all. */
            writes: string[];
        };
        /**
         * Shown
         * @description A page of the rows of a metric that are shown: the index of a first one, and of the one behind the last.
         */
        Shown: {
            ranges: [
                number,
                number
            ][];
            total: number;
            hasMore: boolean;
            /** @description Of each range, with by=rank. */
            ranks?: (number | null)[];
            /** @description How many rows a later attempt has superseded; absent where there are none. */
            superseded?: number;
        };
        /**
         * Stats
         * @description Statistics of a metric.
         */
        Stats: {
            name: string | null;
            count: number;
            totalDataPoints: number;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            firstValue: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            lastValue: unknown;
            firstDataAt: string | null;
            lastDataAt: string | null;
            /** @description A page of them; ask for more by how many are known. */
            fields: {
                [key: string]: components["schemas"]["FieldStats"];
            };
            fieldsTotal: number;
            /** @description How many rows a later attempt has superseded; absent where there are none. */
            superseded?: number;
        };
        /**
         * FieldStats
         * @description Statistics of a field; those of no numbers are null.
         */
        FieldStats: {
            count: number;
            nan: number;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            min: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            max: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            mean: unknown;
            /** @description Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves. */
            last: unknown;
        };
        /**
         * TestedRule
         * @description What became of a message that says that it is a test.
         */
        TestedRule: {
            delivered: boolean;
            problem: string | null;
        };
        /**
         * Tokens
         * @description A page of tokens.
         */
        Tokens: {
            data: components["schemas"]["Token"][];
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * Token
         * @description A token, as admins see it.
         */
        Token: {
            tokenId: string;
            name: string;
            admin: boolean;
            grants: components["schemas"]["Grant"][];
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            expiresAt: string | null;
            createdBy: string | null;
            revokedAt: string | null;
            lastUsedAt: string | null;
        };
        /**
         * Tracks
         * @description A page of tracks, in order of first appearance; ask for more by how many are known.
         */
        Tracks: {
            data: components["schemas"]["Track"][];
            total: number;
        };
        /**
         * Track
         * @description A track.
         */
        Track: {
            topic: string | null;
            count: number;
        };
        /**
         * Trash
         * @description A page of deleted experiments.
         */
        Trash: {
            data: components["schemas"]["Trashed"][];
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * Trashed
         * @description A deleted experiment, in a list.
         */
        Trashed: {
            id: string;
            prefix: string;
            owner: string;
            /** @description Of its metrics. */
            rows: number;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            deletedAt: string;
            /** @description The name of the token; null where nobody wrote it down. */
            deletedBy: string | null;
            /** @description When its rows are removed for good; null for one whose rows stay. */
            purgeAt: string | null;
        };
        /**
         * Upload
         * @description An upload in parts: how large they are, and which are here.
         */
        Upload: {
            complete: boolean;
            partBytes: number;
            parts: number[];
        };
        /**
         * UpsertedExperiment
         * @description An experiment that was created or changed.
         */
        UpsertedExperiment: {
            id: string;
            prefix: string;
            owner: string;
            project: string;
            folder: string;
            name: string;
            tags: string[];
            bindrs: string[];
            metadata: {
                [key: string]: unknown;
            } | null;
            status: string | null;
            stale: boolean;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            startedAt: string | null;
            endedAt: string | null;
            lastActivity: string | null;
            host: string | null;
            error: string | null;
            /** @description Of its metrics. */
            rows: number;
            /** @description Of all kinds: events (rows, messages, parameters, and so on), and signs of life. */
            entries: number;
            /** @description How often a run of it was started. */
            attempts: number;
            deletedAt: string | null;
            /** @description How many its script has logged; older servers lack it. */
            alerts?: number;
            problem?: string | null;
            /** @description Why rows are missing that a dead process has logged; only from a local root. */
            missing?: string[];
            /** @description Those that were asked for as columns. */
            params?: {
                [key: string]: unknown;
            };
            /** @description The fields that were asked for as columns, by the names of their metrics, of which the unnamed one's is empty. */
            metrics?: {
                [key: string]: {
                    [key: string]: components["schemas"]["FieldSummary"];
                };
            };
            /** @description Which value was defined as the best, of the fields asked for. */
            best?: components["schemas"]["BestOf"][];
            /** @description Who has asked its newest attempt to stop; null where nobody has. */
            stop: components["schemas"]["AskedStop"] | null;
            readme: string | null;
            /** @description What people have written of it, in Markdown; the readme is the run's own. */
            note: string | null;
            created: boolean;
            watermarks: {
                [key: string]: number;
            };
            /** @description With which to ask for the rest of them; null where these are all. */
            watermarksCursor: string | null;
            /** @description The latest time of a row of its runs, parameters or files, in nanoseconds since the epoch. Of these the later one wins: who goes on with the experiment gives theirs later times, whatever its clock. */
            latestNs: number | null;
        };
        /**
         * AskedStop
         * @description A request to a run to stop, as the run is told of it.
         */
        AskedStop: {
            /** @description ISO 8601, UTC, with microseconds and Z. */
            at: string;
            /** @description The name of the token, or of the user whose disk it is. */
            by: string | null;
            reason: string | null;
            /** @description When a process of the run has seen it; null as long as none has. */
            seenAt: string | null;
            /** @description When it was made, in nanoseconds since the epoch. */
            atNs: number;
            /** @description What start rows call the attempt that is meant: another one goes on. */
            attempts: string[];
        };
        /**
         * Values
         * @description The values of several experiments, for tables: of a long text, list or dict its beginning, with … behind it.
         */
        Values: {
            data: components["schemas"]["ExperimentValues"][];
            /** @description Experiments that had no room here: ask again for these. */
            rest: string[];
        };
        /**
         * ExperimentValues
         * @description Parameters, metrics, and the last values of the fields that were asked for, in their order.
         */
        ExperimentValues: {
            id: string;
            params: {
                [key: string]: unknown;
            };
            /** @description How many there are: of very many not all are told. */
            paramsTotal: number;
            metrics: components["schemas"]["MetricFields"][];
            /** @description As for the parameters. */
            metricsTotal: number;
            values: unknown[];
        };
        /**
         * MetricFields
         * @description A metric and its fields.
         */
        MetricFields: {
            name: string | null;
            fields: string[];
        };
        /**
         * View
         * @description A view: what it holds means something to the pages alone.
         */
        View: {
            id: string;
            name: string;
            /** @description Nobody else sees it. */
            mine: boolean;
            /** @description The project is shown so, unless one has a default of one's own. */
            default: boolean;
            /** @description Of which version of the pages it is. */
            format: number;
            /** @description Its ETag, without the quotes. */
            version: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            /** @description What the token is called that it was saved with. */
            who: string | null;
            state: {
                [key: string]: unknown;
            };
        };
        /**
         * Views
         * @description The views of a project.
         */
        Views: {
            data: components["schemas"]["SavedView"][];
        };
        /**
         * SavedView
         * @description A view that somebody has saved, in a list.
         */
        SavedView: {
            id: string;
            name: string;
            /** @description Nobody else sees it. */
            mine: boolean;
            /** @description The project is shown so, unless one has a default of one's own. */
            default: boolean;
            /** @description Of which version of the pages it is. */
            format: number;
            /** @description Its ETag, without the quotes. */
            version: string;
            /** @description ISO 8601, UTC, with microseconds and Z. */
            updatedAt: string;
            /** @description What the token is called that it was saved with. */
            who: string | null;
        };
        /**
         * Watermark
         * @description The number up to which the server has all frames of a writer.
         */
        Watermark: {
            watermark: number;
            /** @description That the newest attempt is asked to stop; left out where nobody asks. */
            stop?: components["schemas"]["AskedStop"];
        };
        /**
         * Watermarks
         * @description A page of the watermarks of the writers.
         */
        Watermarks: {
            watermarks: {
                [key: string]: number;
            };
            hasMore: boolean;
            cursor: string | null;
        };
        /**
         * Whoami
         * @description What a token may do.
         */
        Whoami: {
            tokenId: string;
            name: string;
            admin: boolean;
            grants: components["schemas"]["Grant"][];
            /** @description ISO 8601, UTC, with microseconds and Z. */
            createdAt: string;
            expiresAt: string | null;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type Alerts = components['schemas']['Alerts'];
export type AlertRow = components['schemas']['AlertRow'];
export type AskedBlobs = components['schemas']['AskedBlobs'];
export type Blob = components['schemas']['Blob'];
export type AskedPanels = components['schemas']['AskedPanels'];
export type AskedPanel = components['schemas']['AskedPanel'];
export type AskedLine = components['schemas']['AskedLine'];
export type Smoothing = components['schemas']['Smoothing'];
export type AskedValues = components['schemas']['AskedValues'];
export type MetricField = components['schemas']['MetricField'];
export type Attempts = components['schemas']['Attempts'];
export type Attempt = components['schemas']['Attempt'];
export type Kind = components['schemas']['Kind'];
export type BodyPiece = components['schemas']['BodyPiece'];
export type ChangedRule = components['schemas']['ChangedRule'];
export type Destination = components['schemas']['Destination'];
export type Console = components['schemas']['Console'];
export type ConsoleRow = components['schemas']['ConsoleRow'];
export type CreatedToken = components['schemas']['CreatedToken'];
export type Grant = components['schemas']['Grant'];
export type DeletedExperiment = components['schemas']['DeletedExperiment'];
export type Stop = components['schemas']['Stop'];
export type FieldSummary = components['schemas']['FieldSummary'];
export type BestOf = components['schemas']['BestOf'];
export type DeletedRule = components['schemas']['DeletedRule'];
export type DeletedView = components['schemas']['DeletedView'];
export type DeviceAuthorization = components['schemas']['DeviceAuthorization'];
export type DeviceToken = components['schemas']['DeviceToken'];
export type Entries = components['schemas']['Entries'];
export type Environments = components['schemas']['Environments'];
export type Environment = components['schemas']['Environment'];
export type Error = components['schemas']['Error'];
export type ErrorDetails = components['schemas']['ErrorDetails'];
export type ErrorCode = components['schemas']['ErrorCode'];
export type Experiment = components['schemas']['Experiment'];
export type Experiments = components['schemas']['Experiments'];
export type ListedExperiment = components['schemas']['ListedExperiment'];
export type File = components['schemas']['File'];
export type Files = components['schemas']['Files'];
export type Groups = components['schemas']['Groups'];
export type Group = components['schemas']['Group'];
export type GroupColumn = components['schemas']['GroupColumn'];
export type Summed = components['schemas']['Summed'];
export type Health = components['schemas']['Health'];
export type History = components['schemas']['History'];
export type Change = components['schemas']['Change'];
export type Importance = components['schemas']['Importance'];
export type ParamImportance = components['schemas']['ParamImportance'];
export type Forest = components['schemas']['Forest'];
export type LackingBlobs = components['schemas']['LackingBlobs'];
export type Lines = components['schemas']['Lines'];
export type Line = components['schemas']['Line'];
export type Column = components['schemas']['Column'];
export type BandRuns = components['schemas']['BandRuns'];
export type Logs = components['schemas']['Logs'];
export type LogRow = components['schemas']['LogRow'];
export type MetricNames = components['schemas']['MetricNames'];
export type Metrics = components['schemas']['Metrics'];
export type Metric = components['schemas']['Metric'];
export type MissingBlobs = components['schemas']['MissingBlobs'];
export type MoveTo = components['schemas']['MoveTo'];
export type NewExperiment = components['schemas']['NewExperiment'];
export type SaidTimes = components['schemas']['SaidTimes'];
export type NewLimits = components['schemas']['NewLimits'];
export type NewNote = components['schemas']['NewNote'];
export type NewReadme = components['schemas']['NewReadme'];
export type NewRule = components['schemas']['NewRule'];
export type NewSession = components['schemas']['NewSession'];
export type NewStop = components['schemas']['NewStop'];
export type NewTags = components['schemas']['NewTags'];
export type NewToken = components['schemas']['NewToken'];
export type NewUpload = components['schemas']['NewUpload'];
export type NewView = components['schemas']['NewView'];
export type OAuthError = components['schemas']['OAuthError'];
export type OwnerLimits = components['schemas']['OwnerLimits'];
export type Params = components['schemas']['Params'];
export type Part = components['schemas']['Part'];
export type Ranks = components['schemas']['Ranks'];
export type RankRows = components['schemas']['RankRows'];
export type Ready = components['schemas']['Ready'];
export type RestoreTo = components['schemas']['RestoreTo'];
export type Revoked = components['schemas']['Revoked'];
export type Rows = components['schemas']['Rows'];
export type Row = components['schemas']['Row'];
export type Rule = components['schemas']['Rule'];
export type ShownDestination = components['schemas']['ShownDestination'];
export type Rules = components['schemas']['Rules'];
export type Run = components['schemas']['Run'];
export type Series = components['schemas']['Series'];
export type Buckets = components['schemas']['Buckets'];
export type RankLine = components['schemas']['RankLine'];
export type Session = components['schemas']['Session'];
export type Shown = components['schemas']['Shown'];
export type Stats = components['schemas']['Stats'];
export type FieldStats = components['schemas']['FieldStats'];
export type TestedRule = components['schemas']['TestedRule'];
export type Tokens = components['schemas']['Tokens'];
export type Token = components['schemas']['Token'];
export type Tracks = components['schemas']['Tracks'];
export type Track = components['schemas']['Track'];
export type Trash = components['schemas']['Trash'];
export type Trashed = components['schemas']['Trashed'];
export type Upload = components['schemas']['Upload'];
export type UpsertedExperiment = components['schemas']['UpsertedExperiment'];
export type AskedStop = components['schemas']['AskedStop'];
export type Values = components['schemas']['Values'];
export type ExperimentValues = components['schemas']['ExperimentValues'];
export type MetricFields = components['schemas']['MetricFields'];
export type View = components['schemas']['View'];
export type Views = components['schemas']['Views'];
export type SavedView = components['schemas']['SavedView'];
export type Watermark = components['schemas']['Watermark'];
export type Watermarks = components['schemas']['Watermarks'];
export type Whoami = components['schemas']['Whoami'];
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
