%% Runs scenarios on Erlang's gen_statem and prints what happened, for tests/otp/test_state_machine_recorded.py.
%% Use: erlc oracle.erl && erl -noshell -s oracle main -extra SCENARIOS SPREAD (record.py does that).
%%
%% A scenario is {Id, Init, Rules, Sends, Fuel}: actions of init; what to do with an event in a state, once Fuel events
%% have been handled nothing any more; and which events are sent when. SPREAD varies every duration at random by so many
%% per cent: what is not the same in several runs depends on the exact time and is not recorded.
-module(oracle).
-behaviour(gen_statem).
-export([main/0, init/1, callback_mode/0, handle_event/4, terminate/3]).

main() ->
    [File, Spread] = init:get_plain_arguments(),
    {ok, Scenarios} = file:consult(File),
    put(spread, list_to_integer(Spread)),
    Me = self(),
    logger:set_primary_config(level, none),
    Pids = [spawn(fun() -> run(Me, Scenario, list_to_integer(Spread)) end) || Scenario <- Scenarios],
    [receive {done, Pid, Id, Trace} -> io:format("~s~n", [line(Id, Trace)]) end || Pid <- Pids],
    halt().

run(Main, {Id, Init, Rules, Sends, Fuel}, Spread) ->
    process_flag(trap_exit, true),
    put(spread, Spread),
    {ok, Machine} = gen_statem:start_link(?MODULE, {self(), Init, Rules, Fuel, Spread}, []),
    Start = erlang:monotonic_time(millisecond),
    lists:foreach(
        fun({Number, {At, Kind, Event}}) ->
            wait_until(Start + vary(At)),
            case Kind of
                cast -> gen_statem:cast(Machine, Event);
                call -> Machine ! {'$gen_call', {self(), {call, Number}}, Event};  %% as gen_statem:call, which would wait
                info -> Machine ! Event
            end
        end,
        lists:zip(lists:seq(0, length(Sends) - 1), Sends)),
    wait_until(erlang:monotonic_time(millisecond) + 900),
    Ended = receive {'EXIT', Machine, Reason} -> [{ended, reason(Reason), none}] after 0 -> [] end,
    unlink(Machine),
    exit(Machine, kill),
    Main ! {done, self(), Id, traced() ++ Ended}.

reason({{Kind, _}, _}) when is_atom(Kind) -> Kind;
reason({Kind, _}) when is_atom(Kind) -> Kind;
reason(Reason) when is_atom(Reason) -> Reason;
reason(_) -> other.

traced() ->
    receive
        {trace, Entry} -> [Entry | traced()];
        {{call, Number}, State} -> [{reply, integer_to_list(Number), State} | traced()]
    after 0 -> []
    end.

wait_until(Time) ->
    receive after max(0, Time - erlang:monotonic_time(millisecond)) -> ok end.

vary(0) -> 0;
vary(Time) ->
    Spread = get(spread),
    max(1, round(Time * (100 - Spread + rand:uniform(2 * Spread + 1) - 1) / 100)).

%% ---------------------------------------------------------------------------------------------- the machine

callback_mode() -> [handle_event_function, state_enter].

init({Owner, Init, Rules, Fuel, Spread}) ->
    put(spread, Spread),
    put(owner, Owner),
    put(rules, Rules),
    put(fuel, Fuel),
    put(kept, []),
    {_, State} = lists:keyfind(become, 1, Init),
    {ok, State, data, actions(Init)}.

terminate(_Reason, _State, _Data) -> ok.

handle_event(enter, Old, State, _Data) ->
    trace(enter, Old, State),
    result(State, rule(State, enter));
handle_event({call, From}, Content, State, _Data) ->
    trace(call, Content, State),
    answered(From, State, rule(State, Content));
handle_event(Type, Content, State, _Data) ->
    trace(Type, Content, State),
    result(State, rule(State, Content)).

%% A caller is answered at once, when its call is handled again, or is kept until somebody answers all who were.
answered(From, State, Rule) ->
    Reply = [{reply, From, State} || lists:member(reply, Rule)],
    Result = result(State, Rule, Reply),
    IsKept = not lists:member(reply, Rule) andalso not lists:member(postpone, Rule),
    IsKept andalso put(kept, get(kept) ++ [From]),
    Result.

trace(Type, Content, State) -> get(owner) ! {trace, {Type, Content, State}}.

rule(State, Event) ->
    case put(fuel, max(0, get(fuel) - 1)) of
        0 -> [];
        _ -> maps:get({State, Event}, get(rules), [])
    end.

result(State, Rule) -> result(State, Rule, []).

result(State, Rule, Reply) ->
    Actions = actions(Rule) ++ [{reply, From, State} || lists:member(reply_kept, Rule), From <- put(kept, [])] ++ Reply,
    case lists:last([keep | [Change || Change <- Rule, is_change(Change)]]) of
        keep -> {keep_state_and_data, Actions};
        repeat -> {repeat_state_and_data, Actions};
        stop when Reply =:= [] -> stop;
        stop -> {stop_and_reply, normal, Reply};
        {become, State} -> {next_state, State, data, Actions};
        {become, Other} -> {next_state, Other, data, Actions}
    end.

is_change(repeat) -> true;
is_change(stop) -> true;
is_change({become, _}) -> true;
is_change(_) -> false.

actions(Rule) -> [action(Each) || Each <- Rule, not is_change(Each), not is_reply(Each)].

is_reply(Each) -> Each =:= reply orelse Each =:= reply_kept.

action(postpone) -> postpone;
action({next_event, Event}) -> {next_event, internal, Event};
action({state_timeout, Time, Event}) -> {state_timeout, time(Time), Event};
action({idle_timeout, Time}) -> {timeout, time(Time), idle};
action({named_timeout, Name, Time, Event}) -> {{timeout, Name}, time(Time), Event}.

time(none) -> infinity;
time(update) -> update;
time(Time) -> vary(Time).

%% ---------------------------------------------------------------------------------------------- the output

line(Id, Trace) -> io_lib:format("[~w, [~s]]", [Id, lists:join(", ", [entry(Each) || Each <- Trace])]).

entry({{timeout, Name}, Content, State}) -> entry({Name, Content, State});
entry({info, {timeout, _, _}, State}) -> entry({info, stray_timer, State});  %% a flaw of OTP 25: see record.py
entry({Type, Content, State}) -> io_lib:format("[\"~s\", \"~s\", \"~s\"]", [Type, Content, State]).
