#!/usr/bin/env perl
# The conformance stages `transform` and `source` (conformance/README.md) in Perl 5, with core modules only: a worker that
# has no SDK and no protobuf library beneath it, written from docs/PROTOCOL.md. Rule ids in comments are those of that text.
use v5.36;

# ---- Protobuf, as far as proto/stagewire/v1 needs it here ---------------------------------------------------------------

package Wire;

# name=number:type, in ascending order; @ marks what is repeated. What does not stand here is skipped when it comes (FR-3).
# Strings are bytes here, since this worker only passes them on.
my %SCHEMA = (
    Envelope => 'version=1:uint hello=2:Hello welcome=3:Welcome close=4:Close ping=5:Ping pong=6:Pong credit=7:Credit
                 deliver=8:Deliver settle=9:Settle emit=10:Emit committed=11:Committed extend=13:Extend drain=14:Drain
                 claim=16:Claim claimed=17:Claimed finished=18:Finished',
    Hello    => 'min_version=1:uint max_version=2:uint stage=3:bytes instance=4:bytes offered=6:@bytes token=9:bytes
                 language=11:bytes',
    Welcome  => 'version=1:uint max_frame=4:uint max_record=5:uint stamp_reserve=6:uint max_step_records=7:uint
                 max_step_bytes=8:uint lease_ms=11:uint config=12:bytes inputs=13:@Input outputs=14:@Output',
    Input    => 'number=1:uint',
    Output   => 'number=1:uint port=2:bytes',
    Close    => 'code=1:uint message=2:bytes',
    Ping     => 'nonce=1:uint',
    Pong     => 'nonce=1:uint',
    Credit   => 'number=1:uint records=2:uint bytes=3:uint',
    Deliver  => 'input=1:uint first_delivery=2:uint attempts=3:@uint records=4:@Record',
    Record   => 'lineage=1:Lineage header=2:bytes payload=3:bytes',    # a header is passed on as it came
    Lineage  => 'id=1:bytes',
    Settle   => 'outcomes=1:@Outcome',
    Outcome  => 'first=1:uint kind=3:uint emissions=4:@Emission delay_ms=5:uint error=6:Error',
    Emission => 'port=1:uint output=3:Record',
    Error    => 'code=1:uint message=2:bytes',
    Extend   => '',
    Drain    => 'reason=1:uint',
    # The rest is for the stage `source`.
    Header    => 'key=3:bytes',
    Claim     => 'partition=1:bytes',
    Claimed   => 'partition=1:bytes last_emit_id=3:uint checkpoint=4:bytes',
    Emit      => 'partition=1:bytes emit_id=2:uint emissions=3:@Emission checkpoint=4:bytes',
    Committed => 'partition=1:bytes through=2:uint refused=3:@Refusal',
    Refusal   => 'id=1:uint error=2:Error',
    Finished  => 'partition=1:bytes',
);
my (%FIELDS, %BY_NUMBER);
for my $type (keys %SCHEMA) {
    $FIELDS{$type} = [map { my %f; @f{qw(name number many type)} = /^(\w+)=(\d+):(@?)(\w+)$/; \%f } split ' ', $SCHEMA{$type}];
    $BY_NUMBER{$type} = { map { $_->{number} => $_ } @{ $FIELDS{$type} } };
}

sub varint ($n) {
    my $bytes = '';
    for (; $n > 127; $n >>= 7) { $bytes .= chr($n & 127 | 128) }
    return $bytes . chr $n;
}

# A message in place of which there is a text, not a hash, has been encoded before.
sub encode ($type, $message) {
    my $bytes = '';
    for my $field (@{ $FIELDS{$type} }) {
        my $value = $message->{ $field->{name} } // next;
        for my $item ($field->{many} ? @$value : $value) {
            if ($field->{type} eq 'uint') {
                $bytes .= varint($field->{number} << 3) . varint($item) if $item;
            } else {
                my $content = ref $item ? encode($field->{type}, $item) : $item;
                next if $content eq '' && !ref $item && !$field->{many};
                $bytes .= varint($field->{number} << 3 | 2) . varint(length $content) . $content;
            }
        }
    }
    return $bytes;
}

# The varint at pos($$bytes), which moves behind it.
sub take_varint ($bytes) {
    $$bytes =~ /\G([\x80-\xff]{0,9}[\x00-\x7f])/gc or die "a number without an end\n";
    my $n = 0;
    $n = $n << 7 | ord($_) & 127 for reverse split //, $1;
    return $n;
}

# Dies where the bytes are not protobuf. `size` is what CR-3 counts of a record: its bytes as they came.
sub decode ($type, $bytes) {
    my %message = (size => length $bytes);
    for (@{ $FIELDS{$type} }) {
        $message{ $_->{name} } = $_->{many} ? [] : $_->{type} eq 'uint' ? 0 : $_->{type} eq 'bytes' ? '' : undef;
    }
    pos($bytes) = 0;
    while (pos $bytes < length $bytes) {
        my $tag = take_varint(\$bytes);
        my ($number, $wire) = ($tag >> 3, $tag & 7);
        my $value;
        if ($wire == 0) {
            $value = take_varint(\$bytes);
        } else {
            my $length = $wire == 2 ? take_varint(\$bytes) : { 1 => 8, 5 => 4 }->{$wire} // die "wire type $wire\n";
            die "a field longer than its message\n" if $length > length($bytes) - pos $bytes;
            $value = substr $bytes, pos $bytes, $length;
            pos($bytes) += $length;
        }
        die "field number 0\n" if $number == 0;
        my $field = $BY_NUMBER{$type}{$number} // next;
        my $packed = $field->{type} eq 'uint' && $field->{many} && $wire == 2;    # FR-5: both ways of writing
        next unless $packed || $wire == ($field->{type} eq 'uint' ? 0 : 2);
        my @items = $value;
        if ($packed) {
            @items = ();
            pos($value) = 0;
            push @items, take_varint(\$value) while pos $value < length $value;
        } elsif ($field->{type} !~ /^(uint|bytes)$/) {
            @items = decode($field->{type}, $value);
        }
        if ($field->{many}) { push @{ $message{ $field->{name} } }, @items }
        else                { $message{ $field->{name} } = $items[0] }
    }
    return \%message;
}

# ---- The session: frames, credit, settling ------------------------------------------------------------------------------

package Session;

use Encode ();
use Errno ();
use IO::Select;
use IO::Socket::UNIX;
use List::Util qw(max sum0);
use Time::HiRes qw(time);

use constant { ACCEPTED => 1, REJECTED => 2, RETRY => 3, RELEASED => 4 };
use constant { VERSION => 1000, MAX_FRAME => 4 << 20, BATCH => 64 << 10, WINDOW_RECORDS => 256, INPUT_ENDED => 1 };
my %RETRYABLE = map { $_ => 1 } 104, 105, 110, 201, 202, 207, 211, 212;

# Connects, and returns when Welcome is there.
sub new ($class) {
    my $socket = IO::Socket::UNIX->new(Peer => $ENV{STAGEWIRE_SOCKET}) or leave(1, "cannot connect to the broker: $!");
    $SIG{PIPE} = 'IGNORE';
    my $self = bless { socket => $socket, max_frame => MAX_FRAME, queue => [], batch => [], batch_size => 0 }, $class;
    $self->send(hello => {
        min_version => VERSION, max_version => VERSION, stage => $ENV{STAGEWIRE_STAGE}, instance => $ENV{STAGEWIRE_INSTANCE},
        offered => ['single-threaded'], token => pack('H*', delete $ENV{STAGEWIRE_TOKEN} // ''), language => 'Perl',
    });
    my $welcome;
    1 until $welcome = $self->receive->{welcome};
    $self->close(102, "this worker speaks version @{[VERSION]} only") if $welcome->{version} != VERSION;
    $self->{$_} = $welcome->{$_} for qw(max_frame max_record stamp_reserve max_step_records max_step_bytes config);
    $self->{extend_after} = $welcome->{lease_ms} / 3000;
    $self->{lease_from} = time;
    $self->{port} = { map { $_->{port} => $_->{number} } @{ $welcome->{outputs} } };
    # All of these are [records, bytes] since the session began. `taken` is what has left the queue, settled or not.
    $self->{out}{ $_->{number} } = { used => [0, 0], limit => [0, 0] } for @{ $welcome->{outputs} };
    for (@{ $welcome->{inputs} }) {
        $self->{in}{ $_->{number} } = { got => [0, 0], taken => [0, 0], granted => [-1, -1] };
        $self->grant($_->{number});
    }
    return $self;
}

# Prints a sentence that may come from the other side, without its control characters (LM-5).
sub report ($sentence) {
    $sentence =~ s/([\x00-\x1f\x7f]|\xc2[\x80-\x9f])/join '', map { sprintf '\\x%02x', ord } split m{}, $1/ge;
    print STDERR substr($sentence, 0, 8192), "\n";
}

sub leave ($status, $sentence) {
    report($sentence);
    exit $status;
}

# Writes Close, waits for EOF, ends (EN-1). Of the codes that a worker closes with, none but 0 is retryable.
sub close ($self, $code, $sentence) {
    $self->send(close => { code => $code, message => $sentence });
    for (my $until = time + 5; (my $left = $until - time) > 0;) {
        last unless $self->readable($left) && sysread $self->{socket}, my $discarded, 65536;
    }
    exit 0 if $code == 0;
    leave(2, $sentence);
}

sub send ($self, $kind, $message) {
    my $frame = pack 'N/a*', Wire::encode(Envelope => { version => VERSION, $kind => $message });
    $self->{lease_from} = time if $kind eq 'settle' || $kind eq 'extend';    # LE-1
    while (length $frame) {
        my $written = syswrite $self->{socket}, $frame;
        if    (defined $written) { substr $frame, 0, $written, '' }
        elsif (!$!{EINTR})       { $self->receive while 1 }    # the broker has gone; a Close may say why
    }
}

sub read_exactly ($self, $length) {
    my $bytes = '';
    while (length $bytes < $length) {
        my $read = sysread $self->{socket}, $bytes, $length - length $bytes, length $bytes;
        leave(1, 'the broker has gone') unless $read || !defined $read && $!{EINTR};
    }
    return $bytes;
}

sub readable ($self, $seconds) { return IO::Select->new($self->{socket})->can_read($seconds) }

# One frame. Does not return from Close and from EOF.
sub receive ($self) {
    my $length = unpack 'N', $self->read_exactly(4);
    $self->close(101, "a frame of $length bytes, more than $self->{max_frame}") if $length > $self->{max_frame};    # FR-4
    $self->close(100, 'a frame of length 0') if $length == 0;    # FR-2
    my $frame = eval { Wire::decode(Envelope => $self->read_exactly($length)) };
    $self->close(100, "the frame is no Envelope: $@" =~ s/\n//r) if !$frame;
    if (my $close = $frame->{close}) {    # of any version: VR-2
        exit 0 if $close->{code} == 0;
        leave($RETRYABLE{ $close->{code} } ? 1 : 2, "closed by the broker with $close->{code}: $close->{message}");
    }
    $self->close(102, "a frame of version $frame->{version}") if int($frame->{version} / 1000) != int(VERSION / 1000);
    return $frame;
}

# What may come at any time. Everything else is ignored, Runs and kinds that are not known among it (FR-3).
sub dispatch ($self, $frame) {
    if (my $ping = $frame->{ping}) {
        $self->send(pong => { nonce => $ping->{nonce} });
    } elsif (my $credit = $frame->{credit}) {
        my $out = $self->{out}{ $credit->{number} } // $self->close(204, "credit for output $credit->{number}");
        $out->{limit} = [max($out->{limit}[0], $credit->{records}), max($out->{limit}[1], $credit->{bytes})];    # CR-2
    } elsif (my $deliver = $frame->{deliver}) {
        my $in = $self->{in}{ $deliver->{input} } // $self->close(204, "a delivery on input $deliver->{input}");
        $deliver->{cost} = [scalar @{ $deliver->{records} }, sum0 map { $_->{size} } @{ $deliver->{records} }];    # CR-3
        for (0, 1) {
            $in->{got}[$_] += $deliver->{cost}[$_];
            next if $in->{got}[$_] <= $in->{granted}[$_];
            $self->close(203, "more than was granted on input $deliver->{input}");    # CR-4
        }
        push @{ $self->{queue} }, $deliver;
    } elsif (my $committed = $frame->{committed}) {
        $self->{committed} = $committed->{through};
        for (@{ $committed->{refused} }) {
            report("Emit $_->{id} was refused with $_->{error}{code}: $_->{error}{message}");    # SO-5
        }
    } elsif (my $claimed = $frame->{claimed}) {
        $self->{claimed} = $claimed;
    } elsif (my $drain = $frame->{drain}) {
        $self->{shutdown} = $drain->{reason} != INPUT_ENDED;
    }
}

# Takes what has come, and waits for it up to so many seconds.
sub poll ($self, $seconds = 0) {
    my $until = time + $seconds;
    do {
        $self->dispatch($self->receive) while $self->readable(0);
    } while $seconds && $self->readable(max(0, $until - time));
}

# A handler that works for long calls this at least every third of a lease (LE-4).
sub working ($self) { $self->send(extend => {}) if time - $self->{lease_from} > $self->{extend_after} }

# Grants a whole window beyond what was taken, when half of it is used up (CR-6).
sub grant ($self, $number) {
    my $in = $self->{in}{$number};
    my @window = (WINDOW_RECORDS, 2 * $self->{max_record});
    return if !grep { $in->{granted}[$_] - $in->{taken}[$_] <= $window[$_] / 2 } 0, 1;
    $in->{granted} = [map { $in->{taken}[$_] + $window[$_] } 0, 1];
    $self->send(credit => { number => $number, records => $in->{granted}[0], bytes => $in->{granted}[1] });
}

# What emissions cost (CR-3), as {port => [records, bytes]}, or, where that can never be paid (CR-8), a code and a sentence.
sub need ($self, $emissions) {
    my ($total, %need) = 0;
    for my $emission (@$emissions) {
        my $charge = length($emission->{output}) + $self->{stamp_reserve};
        return {}, 304, "an output of $charge bytes, more than max_record" if $charge > $self->{max_record};
        $total += $charge;
        $need{ $emission->{port} }[0]++;
        $need{ $emission->{port} }[1] += $charge;
    }
    return {}, 305, "$total bytes in one step" if $total > $self->{max_step_bytes};
    return {}, 305, @$emissions . ' emissions in one step' if @$emissions > $self->{max_step_records};
    return \%need;
}

sub fits ($self, $need) {
    for my $port (keys %$need) {
        my $out = $self->{out}{$port};
        return 0 if grep { $out->{used}[$_] + $need->{$port}[$_] > $out->{limit}[$_] } 0, 1;
    }
    return 1;
}

# Waits for credit, reading on meanwhile (CR-9), and uses it.
sub pay ($self, $need) {
    $self->dispatch($self->receive) until $self->fits($need);
    for my $port (keys %$need) { $self->{out}{$port}{used}[$_] += $need->{$port}[$_] for 0, 1 }
}

# Settles what is at hand.
sub flush ($self) {
    $self->send(settle => { outcomes => $self->{batch} }) if @{ $self->{batch} };
    $self->{batch} = [];
    $self->{batch_size} = 0;
}

# An Error whose text may be anything: it becomes UTF-8 (FR-2) of at most 8 KiB (LM-5).
sub error ($code, $text) {
    my $bytes = Encode::encode('UTF-8', utf8::is_utf8($text) ? $text : Encode::decode('UTF-8', $text));
    $bytes = substr($bytes, 0, 8192) =~ s/[\xc0-\xff][\x80-\xbf]*\z//r if length $bytes > 8192;
    return { code => $code, message => $bytes };
}

# Handles and settles the records of one Deliver, with one Settle if nothing speaks against it.
sub work ($self, $deliver, $handler) {
    $self->{in}{ $deliver->{input} }{taken}[$_] += $deliver->{cost}[$_] for 0, 1;
    $self->grant($deliver->{input});
    for my $i (keys @{ $deliver->{records} }) {
        my $delivery = { record => $deliver->{records}[$i], attempt => $deliver->{attempts}[$i] // 1, emissions => [] };
        my $accepted = { kind => ACCEPTED, emissions => $delivery->{emissions} };
        my $outcome = eval { $handler->($self, $delivery) // $accepted }
            // { kind => RETRY, error => error(1000, $@ =~ s/\n\z//r) };
        my $id = $deliver->{first_delivery} + $i;
        my ($need, $code, $why) = $self->need($outcome->{emissions} // []);
        my $bytes = Wire::encode(Outcome => { first => $id, %$outcome });
        ($need, $code, $why) = ({}, 305, 'a step larger than a frame') if length($bytes) + 64 > $self->{max_frame};    # LM-1
        $bytes = Wire::encode(Outcome => { first => $id, kind => REJECTED, error => error($code, $why) }) if $code;
        # Before waiting, before the frame becomes long (LM-4), before the lease ends.
        $self->flush if !$self->fits($need) || $self->{batch_size} + length($bytes) > BATCH;
        $self->pay($need);
        push @{ $self->{batch} }, $bytes;
        $self->{batch_size} += length $bytes;
        $self->flush if time - $self->{lease_from} > $self->{extend_after};
        $self->poll;    # Ping and Close between two records (LV-3)
    }
    $self->flush;
}

# ---- The stages ---------------------------------------------------------------------------------------------------------

package main;

use JSON::PP ();
use List::Util qw(min);
use Time::HiRes qw(sleep time);

sub emission ($session, $port, $header, $payload) {
    return { port => $session->{port}{$port}, output => Wire::encode(Record => { header => $header, payload => $payload }) };
}

# The handler of `transform`. It returns an outcome, or undef for ACCEPTED with what was emitted, or dies for a RETRY.
sub transform ($session, $delivery) {
    my $record = $delivery->{record};
    my $emit = sub ($payload, $port = 'out') {
        push @{ $delivery->{emissions} }, emission($session, $port, $record->{header}, $payload);
    };
    for (split /;/, $record->{payload}, -1) {
        if (/\Aecho\z/) {
            $emit->($record->{payload});
        } elsif (/\Aattempt\z/) {
            $emit->($delivery->{attempt});
        } elsif (/\Aid\z/) {
            $emit->(unpack 'H*', $record->{lineage}{id});
        } elsif (/\Aconfig\z/) {
            $emit->($session->{config});
        } elsif (/\Aenv (\S+)\z/) {
            $emit->($ENV{$1}) if defined $ENV{$1};
        } elsif (/\Aemit (\d{1,9})(?: (\d{1,9})(?: (\S+))?)?\z/ && exists $session->{port}{ $3 // 'out' }) {
            my ($size, $port) = ($2 // 0, $3 // 'out');
            $emit->(sprintf('%-*d', $size, $_), $port) for 0 .. $1 - 1;
        } elsif (/\Await (\d{1,9})\z/) {
            my $until = time + $1 / 1000;
            while ((my $left = $until - time) > 0) {
                sleep min($left, $session->{extend_after} / 2);
                $session->working;
            }
        } elsif (/\Areject(?: (\d{1,9})(?: (.*))?)?\z/s) {
            return { kind => Session::REJECTED, error => Session::error($1 // 1000, $2 // '') };
        } elsif (/\Aretry(?: (\d{1,9})(?: (\d{1,9})(?: (.*))?)?)?\z/s) {
            return { kind => Session::RETRY, delay_ms => $1, error => Session::error($2 // 1000, $3 // '') };
        } elsif (/\Arelease\z/) {
            return { kind => Session::RELEASED };
        } elsif (/\Athrow (.*)\z/s) {
            die "$1\n";
        } elsif (/\Aexit (\d{1,3})\z/) {
            exit $1;
        } else {
            return { kind => Session::REJECTED, error => Session::error(1999, 'no such directive') };
        }
    }
    return undef;
}

sub run_transform ($session) {
    while (1) {
        $session->dispatch($session->receive) until @{ $session->{queue} };
        $session->work(shift @{ $session->{queue} }, \&transform);
    }
}

sub run_source ($session) {
    my %config = (partition => 'p', records => 10, per_emit => 2, size => 0, keys => 3, pause_ms => 0, stay => 0,
        %{ JSON::PP::decode_json($session->{config} || '{}') });
    utf8::encode(my $partition = $config{partition});
    $session->send(claim => { partition => $partition });
    $session->dispatch($session->receive) until $session->{claimed} || $session->{shutdown};
    my $emit_id = $session->{committed} = $session->{claimed} ? $session->{claimed}{last_emit_id} : 0;
    my $done = $session->{claimed} ? $session->{claimed}{checkpoint} || 0 : 0;
    while ($done < $config{records} && !$session->{shutdown}) {
        my $last = min($done + $config{per_emit}, $config{records});
        my @emissions = map {
            my $header = Wire::encode(Header => { key => 'k' . $_ % $config{keys} });
            emission($session, 'out', $header, sprintf '%-*d', $config{size}, $_)
        } $done + 1 .. $last;
        my ($need, $code, $why) = $session->need(\@emissions);
        Session::leave(2, $why) if $code;
        $session->dispatch($session->receive) until $session->fits($need) || $session->{shutdown};
        last if $session->{shutdown};
        $session->pay($need);
        $done = $last;
        $session->send(emit =>
            { partition => $partition, emit_id => ++$emit_id, emissions => \@emissions, checkpoint => $done });
        $session->poll($config{pause_ms} / 1000);
    }
    $session->send(finished => { partition => $partition }) unless $session->{shutdown} || $config{stay};
    # Close ends the process, or Drain SHUTDOWN when everything is committed (EN-3).
    $session->dispatch($session->receive) until $session->{shutdown} && $session->{committed} >= $emit_id;
    $session->close(0, '');
}

my %STAGES = (transform => \&run_transform, source => \&run_source);
for (qw(STAGEWIRE_SOCKET STAGEWIRE_STAGE)) { Session::leave(2, "$_ is not set") unless length($ENV{$_} // '') }
my $stage = $STAGES{ $ENV{STAGEWIRE_STAGE} } // Session::leave(2, "there is no stage $ENV{STAGEWIRE_STAGE} here");
$stage->(Session->new);
