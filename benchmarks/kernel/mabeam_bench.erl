%% Erlang/OTP, measured in the same way as mabeam; driven by _erlang.py.
%%
%% erl -noshell -run mabeam_bench main MEASURE SIZE ROUNDS
%% prints a line "FIGURE name [integers]" for each figure (nanoseconds for a round, bytes, ...), then "DONE".
-module(mabeam_bench).
-behaviour(gen_server).

-export([main/1, start_server/1, start_named/2, log/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(CALLERS, 1000).

main([Measure, Size, Rounds]) ->
    %% Links to servers that crash on purpose must not end this process.
    process_flag(trap_exit, true),
    measure(list_to_atom(Measure), list_to_integer(Size), list_to_integer(Rounds)),
    io:format("DONE~n"),
    halt(0, [{flush, true}]).

%% ------------------------------------------------------------------------------------------- the servers

start_server(State) -> gen_server:start_link(?MODULE, {server, State}, []).

start_named(Name, State) -> gen_server:start_link({local, Name}, ?MODULE, {server, State}, []).

init({server, State}) -> {ok, State};
init({supervisor, Flags, Children}) -> {ok, {Flags, Children}}.

handle_call({add, Amount}, _From, State) -> {reply, State + Amount, State + Amount};
handle_call({add_yielding, Amount}, _From, State) ->
    erlang:yield(),
    {reply, State + Amount, State + Amount};
handle_call({add_beside, Amount}, From, State) ->
    spawn_link(fun() -> gen_server:reply(From, State + Amount) end),
    {noreply, State + Amount};
handle_call(read, _From, State) -> {reply, State, State};
handle_call(crash, _From, _State) -> error(as_told);
handle_call(ping, _From, State) -> {reply, pong, State};
handle_call({follow_with, Next}, _From, {Number, Tally, _}) -> {reply, ok, {Number, Tally, Next}}.

handle_cast({increase, Amount}, State) -> {noreply, State + Amount};
handle_cast({ask, Asker}, State) ->
    Asker ! {answer, State},
    {noreply, State};
handle_cast(hand_on, {Number, Tally, Next} = State) ->
    counters:add(Tally, Number, 1),
    gen_server:cast(Next, hand_on),
    {noreply, State}.

handle_info({'EXIT', _, normal}, State) -> {noreply, State}.

%% The log: throws everything away, or makes text of it first.
log(_Event, #{config := nothing}) -> ok;
log(Event, #{config := text}) ->
    true = byte_size(unicode:characters_to_binary(logger_formatter:format(Event, #{}))) > 0,
    ok.

%% ------------------------------------------------------------------------------------------- calls and casts

measure(call_idle, Size, Rounds) -> one_caller(add, Size, Rounds);
measure(call_async, Size, Rounds) -> one_caller(add, Size, Rounds);
measure(call_async_waits, Size, Rounds) -> one_caller(add_yielding, Size, Rounds);
measure(call_concurrent, Size, Rounds) -> one_caller(add_beside, Size, Rounds);
measure(call_queued, Size, Rounds) ->
    {ok, Server} = start_server(0),
    Main = self(),
    Each = Size div ?CALLERS,
    Size = Each * ?CALLERS,
    Callers = [spawn_link(fun() -> caller(Server, Each, Main) end) || _ <- lists:seq(1, ?CALLERS)],
    rounds(Rounds, fun(_) ->
        timed(fun() ->
            [Caller ! go || Caller <- Callers],
            [receive done -> ok end || _ <- Callers]
        end)
    end),
    Expected = Size * (Rounds + 1),
    Expected = gen_server:call(Server, {add, 0});
measure(call_behind, Size, Rounds) ->
    {ok, Server} = start_server(0),
    rounds(Rounds, fun(_) -> timed(fun() -> pairs(Server, Size) end) end),
    Expected = 2 * Size * (Rounds + 1),
    Expected = gen_server:call(Server, {add, 0});
measure(cast, Size, Rounds) ->
    {ok, Server} = start_server(0),
    rounds(Rounds, fun(_) ->
        timed(fun() ->
            casts(Server, Size),
            gen_server:call(Server, {add, 0})
        end)
    end),
    Expected = Size * (Rounds + 1),
    Expected = gen_server:call(Server, {add, 0});

%% ------------------------------------------------------------------------------------------- starts and ends

measure(start_supervised, Size, Rounds) ->
    rounds(Rounds, fun(_) ->
        Supervisor = supervisor(one_for_one, []),
        Time = timed(fun() -> start_children(Supervisor, Size) end),
        Size = proplists:get_value(active, supervisor:count_children(Supervisor)),
        Last = name(Size - 1),
        Size = gen_server:call(Last, read) + 1,
        stop(Supervisor),
        Time
    end);
measure(memory_idle, Size, _Rounds) ->
    Supervisor = supervisor(one_for_one, []),
    erlang:garbage_collect(),
    Before = resident(),
    Own = erlang:memory(total),
    start_children(Supervisor, Size),
    erlang:garbage_collect(),
    figure(value, [(resident() - Before) div Size]),
    figure(own_account, [(erlang:memory(total) - Own) div Size]),
    77 = gen_server:call(name(77), read);
measure(fan_out, Size, Rounds) ->
    Supervisor = supervisor(simple_one_for_one, [worker(undefined, start_server, [])]),
    Pids = [element(2, supervisor:start_child(Supervisor, [Number])) || Number <- lists:seq(1, Size)],
    Expected = Size * (Size + 1) div 2,
    Main = self(),
    rounds(Rounds, fun(_) ->
        timed(fun() ->
            [gen_server:cast(Pid, {ask, Main}) || Pid <- Pids],
            Expected = gather(Size, 0)
        end)
    end);
measure(crash_restart, Size, Rounds) ->
    ok = logger:remove_handler(default),
    ok = logger:add_handler(nowhere, ?MODULE, #{config => nothing}),
    crashes(Size, Rounds);
measure(crash_restart_report, Size, Rounds) ->
    ok = logger:remove_handler(default),
    ok = logger:add_handler(nowhere, ?MODULE, #{config => text}),
    crashes(Size, Rounds);
measure(stop_orderly, Size, Rounds) ->
    rounds(Rounds, fun(_) ->
        Supervisor = supervisor(simple_one_for_one, [worker(undefined, start_named, [])]),
        Pids = [element(2, supervisor:start_child(Supervisor, [name(N), N])) || N <- lists:seq(0, Size - 1)],
        Time = timed(fun() -> stop(Supervisor) end),
        [] = [Pid || Pid <- Pids, is_process_alive(Pid)],
        Time
    end);
measure(million, Size, _Rounds) ->
    Supervisor = supervisor(simple_one_for_one, [worker(undefined, start_server, [])]),
    erlang:garbage_collect(),
    Before = resident(),
    Paths = filelib:wildcard("/proc/self/task/*/schedstat"),
    Cpu = cpu_ns(Paths),
    Began = now_ns(),
    Some = start_many(Supervisor, 0, Size, []),
    figure(seconds, [now_ns() - Began]),
    figure(cpu_seconds, [cpu_ns(Paths) - Cpu]),
    erlang:garbage_collect(),
    figure(bytes, [resident() - Before]),
    Size = proplists:get_value(active, supervisor:count_children(Supervisor)),
    Expected = lists:seq(0, Size - 1, 1000),
    Expected = lists:reverse([gen_server:call(Pid, read) || Pid <- Some]);
measure(async_stream, Size, Rounds) ->
    Items = lists:seq(1, Size),
    [
        rounds("at_" ++ integer_to_list(Count), "cpu_at_" ++ integer_to_list(Count), Rounds, fun(_) ->
            timed(fun() -> Items = stream(fun(Item) -> Item end, Items, Count) end)
        end)
     || Count <- [1, 16, 64]
    ];

%% ------------------------------------------------------------------------------------------- under load

%% Those who look on have priority high, as callbacks of the event loop have it over processes in mabeam.
measure(latency_under_load, Size, _Rounds) ->
    process_flag(priority, high),
    Supervisor = supervisor(simple_one_for_one, [worker(undefined, start_server, [])]),
    Tally = counters:new(Size, []),
    Nodes = [
        element(2, supervisor:start_child(Supervisor, [{Number, Tally, none}]))
     || Number <- lists:seq(1, Size)
    ],
    Busy = [Node || {Number, Node} <- lists:zip(lists:seq(0, Size - 1), Nodes), Number rem 10 =:= 0],
    %% One ring of all of them, in an order that has nothing to do with that of their start.
    rand:seed(exsss, {1, 2, 3}),
    [First | Rest] = Shuffled = [Node || {_, Node} <- lists:sort([{rand:uniform(), Node} || Node <- Busy])],
    [ok = gen_server:call(Node, {follow_with, Next}) || {Node, Next} <- lists:zip(Shuffled, Rest ++ [First])],
    [gen_server:cast(Node, hand_on) || Node <- Busy],
    all_busy(Tally, Size, 400),
    Main = self(),
    Before = handed_on(Tally, Size),
    Milliseconds = list_to_integer(os:getenv("MABEAM_BENCH_MILLISECONDS")),
    Timer = spawn_opt(fun() -> watch_timer(Main, []) end, [link, {priority, high}]),
    Pipe = spawn_opt(fun() -> watch_pipe(Main) end, [link, {priority, high}]),
    timer:sleep(Milliseconds),
    Timer ! stop,
    Pipe ! stop,
    figure(messages, [(handed_on(Tally, Size) - Before) * 1000 div Milliseconds]),
    figure(timer, receive {late_timers, Timers} -> Timers end),
    figure(pipe, receive {late_writes, Writes} -> Writes end).

%% ------------------------------------------------------------------------------------------- how they do it

one_caller(Request, Size, Rounds) ->
    {ok, Server} = start_server(0),
    rounds(Rounds, fun(_) -> timed(fun() -> calls(Server, Request, Size) end) end),
    Expected = Size * (Rounds + 1),
    Expected = gen_server:call(Server, {add, 0}).

calls(_Server, _Request, 0) -> ok;
calls(Server, Request, Count) ->
    gen_server:call(Server, {Request, 1}),
    calls(Server, Request, Count - 1).

pairs(_Server, 0) -> ok;
pairs(Server, Count) ->
    gen_server:cast(Server, {increase, 1}),
    gen_server:call(Server, {add, 1}),
    pairs(Server, Count - 1).

casts(_Server, 0) -> ok;
casts(Server, Count) ->
    gen_server:cast(Server, {increase, 1}),
    casts(Server, Count - 1).

caller(Server, Count, Main) ->
    receive
        go ->
            calls(Server, add, Count),
            Main ! done,
            caller(Server, Count, Main)
    end.

supervisor(Strategy, Children) ->
    Flags = #{strategy => Strategy, intensity => 1000000000, period => 1},
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, Flags, Children}),
    Supervisor.

worker(Id, Function, Arguments) ->
    #{id => Id, start => {?MODULE, Function, Arguments}, restart => permanent, shutdown => 5000}.

name(Number) -> list_to_atom("cell_" ++ integer_to_list(Number)).

start_children(Supervisor, Size) -> start_children(Supervisor, 0, Size).

start_children(_Supervisor, Size, Size) -> ok;
start_children(Supervisor, Number, Size) ->
    Name = name(Number),
    {ok, _} = supervisor:start_child(Supervisor, worker(Name, start_named, [Name, Number])),
    start_children(Supervisor, Number + 1, Size).

start_many(_Supervisor, Size, Size, Some) -> Some;
start_many(Supervisor, Number, Size, Some) ->
    {ok, Pid} = supervisor:start_child(Supervisor, [Number]),
    Kept = if Number rem 1000 =:= 0 -> [Pid | Some]; true -> Some end,
    start_many(Supervisor, Number + 1, Size, Kept).

stop(Supervisor) ->
    exit(Supervisor, shutdown),
    receive {'EXIT', Supervisor, shutdown} -> ok end.

gather(0, Sum) -> Sum;
gather(Count, Sum) -> receive {answer, Value} -> gather(Count - 1, Sum + Value) end.

crashes(Size, Rounds) ->
    rounds(Rounds, fun(_) ->
        Supervisor = supervisor(one_for_one, [worker(fragile, start_named, [fragile, 0])]),
        Time = timed(fun() ->
            lists:foldl(fun(_, Old) -> crash_once(Old) end, whereis(fragile), lists:seq(1, Size))
        end),
        stop(Supervisor),
        Time
    end).

crash_once(Old) ->
    {'EXIT', _} = (catch gen_server:call(fragile, crash)),
    pong = ping(),
    case whereis(fragile) of
        New when New =/= Old -> New
    end.

ping() ->
    case catch gen_server:call(fragile, ping) of
        pong -> pong;
        {'EXIT', _} ->
            erlang:yield(),
            ping()
    end.

%% A process for each item, so many at once; the results in the order of the items.
stream(Function, Items, Count) -> stream(Function, Items, Count, queue:new(), []).

stream(_Function, [], _Free, Running, Results) ->
    lists:reverse(lists:foldl(fun(Each, Done) -> [result(Each) | Done] end, Results, queue:to_list(Running)));
stream(Function, Items, 0, Running, Results) ->
    {{value, Oldest}, Rest} = queue:out(Running),
    stream(Function, Items, 1, Rest, [result(Oldest) | Results]);
stream(Function, [Item | Items], Free, Running, Results) ->
    Started = spawn_monitor(fun() -> exit({ok, Function(Item)}) end),
    stream(Function, Items, Free - 1, queue:in(Started, Running), Results).

result({Pid, Monitor}) -> receive {'DOWN', Monitor, process, Pid, {ok, Value}} -> Value end.

all_busy(Tally, Size, Looks) when Looks > 0 ->
    timer:sleep(50),
    case [N || N <- lists:seq(1, Size, 10), counters:get(Tally, N) =:= 0] of
        [] -> ok;
        _ -> all_busy(Tally, Size, Looks - 1)
    end.

handed_on(Tally, Size) -> lists:sum([counters:get(Tally, N) || N <- lists:seq(1, Size, 10)]).

watch_timer(Main, Late) ->
    Due = os:perf_counter(nanosecond) + 1000000,
    erlang:send_after(1, self(), tick),
    receive
        tick -> watch_timer(Main, [max(0, os:perf_counter(nanosecond) - Due) | Late]);
        stop -> Main ! {late_timers, Late}
    end.

watch_pipe(Main) ->
    Options = [{args, ["-c", os:getenv("MABEAM_BENCH_WRITER")]}, binary, stream, use_stdio],
    Port = open_port({spawn_executable, os:getenv("MABEAM_BENCH_PYTHON")}, Options),
    watch_pipe(Main, Port, <<>>, []).

watch_pipe(Main, Port, Rest, Late) ->
    receive
        {Port, {data, Data}} ->
            Now = os:perf_counter(nanosecond),
            {Left, New} = written(<<Rest/binary, Data/binary>>, Now, Late),
            watch_pipe(Main, Port, Left, New);
        stop ->
            Main ! {late_writes, Late}
    end.

written(<<Written:64/little, More/binary>>, Now, Late) -> written(More, Now, [Now - Written | Late]);
written(Rest, _Now, Late) -> {Rest, Late}.

%% ------------------------------------------------------------------------------------------- the stopwatch

rounds(Rounds, Fun) -> rounds(value, cpu, Rounds, Fun).

%% The first round warms up and does not count. Of the processor's time only the mean is known: the system writes down what a
%% thread that runs has used at its own ticks, so that a single round may be told far too little or too much.
rounds(Name, CpuName, Rounds, Fun) ->
    {[_ | Times], [_ | Cpu]} = lists:unzip([Fun(Round) || Round <- lists:seq(0, Rounds)]),
    figure(Name, Times),
    figure(CpuName, [max(0, lists:sum(Cpu)) div Rounds]).

%% Nanoseconds that passed, and those that the processor worked for any of our threads.
timed(Fun) ->
    Paths = filelib:wildcard("/proc/self/task/*/schedstat"),
    %% What looking itself takes, before and after, is taken off.
    Looks = [cpu_ns(Paths) || _ <- lists:seq(1, 6)],
    Looking = lists:min([After - Before || {Before, After} <- lists:zip(lists:droplast(Looks), tl(Looks))]),
    erlang:garbage_collect(),
    Cpu = cpu_ns(Paths),
    Began = now_ns(),
    Fun(),
    Ended = now_ns(),
    {Ended - Began, cpu_ns(Paths) - Cpu - Looking}.

%% Such a file holds the nanoseconds on a processor, those of waiting for one, and the number of turns.
cpu_ns(Paths) ->
    lists:sum([
        binary_to_integer(hd(binary:split(Text, <<" ">>)))
     || Path <- Paths, {ok, Text} <- [prim_file:read_file(Path)]
    ]).

now_ns() -> erlang:monotonic_time(nanosecond).

figure(Name, Values) -> io:format("FIGURE ~s ~w~n", [Name, Values]).

resident() ->
    case file:read_file("/proc/self/statm") of
        {ok, Text} ->
            [_, Pages | _] = binary:split(Text, <<" ">>, [global]),
            binary_to_integer(Pages) * number(os:cmd("getconf PAGESIZE"));
        {error, enoent} ->
            number(os:cmd("ps -o rss= -p " ++ os:getpid())) * 1024
    end.

number(Text) -> list_to_integer(string:trim(Text)).
